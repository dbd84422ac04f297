"""`manage.py benchmark train`: supervised tokens per second of processor time, beside FastChat's recipe and TRL.

All ways make one pass over the same examples with the same weights, in turn, several rounds; the median counts. That
they learn the same is shown by the losses over all supervised tokens, which must agree.
"""

import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from training.benchmarks import mixes, ways
from training.benchmarks.mixes import MIXES, Mix
from training.benchmarks.ways import Passed, Setting, Way
from training.data.masking import Example
from training.recipes import checkpoints, probe
from training.recipes.arguments import Model
from training.recipes.refusals import Refusal
from training.recipes.tensors import is_windowed

BESIDE_TRL = 1.0
LOSSES_AGREE = 1e-3
"""As a share; rows of other shapes are summed in another order."""

Say = Callable[[str], None]


class Figures(NamedTuple):
    """Medians of supervised tokens per second, by way."""

    speeds: dict[str, float]
    losses: dict[str, float]
    ours: str
    """Which way the recipe would take."""


def measure(options: dict[str, Any], say: Say) -> bool:
    """Print rows; whether every target holds. Raises `ValueError`."""
    if options["max_length"] < 64 or options["batch_size"] < 1 or options["rounds"] < 1:
        raise ValueError("--max-length must be at least 64, --batch-size and --rounds at least 1.")
    if options["conversations"] < 0:
        raise ValueError("--conversations must not be below 0.")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # what several threads wait for each other would count as processor time
    try:
        model = load(options["model"], options["max_length"])
        with_trl = ways.has_trl() and not options["no_trl"]
        say(_head(model, options))
        if not with_trl:
            say("TRL is left out." if ways.has_trl() else "TRL is not installed here (pip install trl).")
        chosen = [mix for mix in MIXES if mix.name in options["mix"]]
        with _quiet():
            outcomes = [_mix(mix, model, options, say, with_trl=with_trl) for mix in chosen]
        return all(outcomes)
    finally:
        torch.set_num_threads(threads)


def load(name: str, max_length: int) -> Any:
    """A checkpoint, or a small model of usual proportions. Raises `ValueError`."""
    if name:
        try:
            model = checkpoints.load(Model(model=name, weights_type="float32"), max_length=max_length)
        except Refusal as refusal:
            raise ValueError(f"--model: {refusal}") from None
    else:
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=2048,
                hidden_size=256,
                intermediate_size=704,
                num_hidden_layers=4,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=max_length,
            )
        )
    model.config.use_cache = False
    return model


def compare(setting: Setting, found: dict[str, Way], *, rounds: int) -> dict[str, list[Passed]]:
    """All ways in turn, round after round: what else the machine does meets all of them."""
    passes: dict[str, list[Passed]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, way in found.items():
            passes[name].append(ways.one_pass(way, setting))
    return passes


def figures(passes: dict[str, list[Passed]], ours: str) -> Figures:
    return Figures(
        {name: statistics.median(one.speed for one in found) for name, found in passes.items()},
        {name: found[0].loss for name, found in passes.items()},
        ours,
    )


def holds(mix: Mix, found: Figures) -> bool:
    others = [speed for name, speed in found.speeds.items() if name.startswith("TRL")]
    own = found.speeds[found.ours]
    enough = own >= mix.wanted * found.speeds["FastChat"]
    return enough and agree(found.losses) and (not others or own >= BESIDE_TRL * max(others))


def agree(losses: dict[str, float]) -> bool:
    """Whether all ways learn from the same tokens with the same loss."""
    return max(losses.values()) - min(losses.values()) <= LOSSES_AGREE * max(losses.values())


def table(mix: Mix, examples: Sequence[Example], max_length: int, found: Figures) -> list[str]:
    share = sum(map(len, examples)) / len(examples) / max_length
    base, own = found.speeds["FastChat"], found.speeds[found.ours]
    lines = [f"{mix.name}: {len(examples)} conversations, mean length {share:.3f} of {max_length}"]
    for name, speed in found.speeds.items():
        mark = "  ← what the recipe takes" if name == found.ours else ""
        lines.append(f"{speed:>10.0f} supervised tokens/s  {speed / base:>6.2f} ×  {name}{mark}")
    lines.append(f"{own / base:>10.2f} × FastChat's recipe; wanted {mix.wanted:g} ×")
    others = [speed for name, speed in found.speeds.items() if name.startswith("TRL")]
    if others:
        lines.append(f"{own / max(others):>10.2f} × TRL at its best; wanted {BESIDE_TRL:g} ×")
    low, high = min(found.losses.values()), max(found.losses.values())
    verdict = "agree" if agree(found.losses) else "DIFFER"
    lines.append(f"           losses of all ways {verdict}: {low:.5f} to {high:.5f}")
    return lines


def _mix(mix: Mix, model: Any, options: dict[str, Any], say: Say, *, with_trl: bool) -> bool:
    vocabulary = model.config.get_text_config().vocab_size
    count = options["conversations"] or mix.size
    examples = mixes.examples(mix, count, options["max_length"], vocabulary=vocabulary)
    found: dict[str, Way] = {
        "FastChat": ways.fastchat,
        "padded": ways.ours("padded"),
        "rows": ways.ours("rows"),
    }
    if with_trl:
        found |= {"TRL packed": ways.trl(packing=True), "TRL by length": ways.trl(packing=False)}
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(model, examples, options["max_length"], options["batch_size"], Path(folder))
        result = figures(compare(setting, found, rounds=options["rounds"]), _choice(setting))
    for line in table(mix, examples, options["max_length"], result):
        say(line)
    return holds(mix, result)


def _choice(setting: Setting) -> str:
    """The layout that the recipe would take, by the probe that it makes."""
    layout, _ = probe.choose(
        setting.model,
        setting.examples,
        max_length=setting.max_length,
        batch_size=setting.batch_size,
        pad=ways.PAD,
        attention="sdpa",
        windowed=is_windowed(setting.model.config),
        seed=0,
        clock=time.process_time,
    )
    return layout


def _head(model: Any, options: dict[str, Any]) -> str:
    size = sum(parameter.numel() for parameter in model.parameters())
    what = options["model"] or "random weights"
    return (
        f"{size / 1e6:.1f} million parameters ({what}), batches of {options['batch_size']}, one thread, "
        f"processor time, median of {options['rounds']}"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """What libraries say about tests of this kind is of no interest to who reads the rows."""
    loggers = [logging.getLogger(name) for name in ("transformers", "trl", "accelerate", "datasets")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(trl|transformers|torch)\..*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
