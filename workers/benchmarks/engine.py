"""The transformers engine beside other ways to run the same weights, without HTTP, in one process and in turn.

Peers: `generate`, transformers' own, on one batch of all prompts, padded, which nobody joins or leaves; `threads`, the
way that older servers work: a thread for each request with a batch of its own, five at once; and `transformers serve`
with continuous batching, as a child. Beside tokens/s it prints processor milliseconds a token, which other programs on
the machine change less.
"""

import gc
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from workers.benchmarks import transformers_serve
from workers.engine_settings.transformers import TransformersOptions
from workers.engines.base import StopSignal
from workers.protocol import ChatMessage, Delta, Failed, Finished, GenerationRequest, Sampling

PLACES = (
    "a lighthouse",
    "a night train",
    "an empty school",
    "the last bakery",
    "a glass village",
    "a harbour",
)
LONG = (
    " Three people tell it in turn, and each remembers it in another way. One came by accident and stayed for years,"
    " one owes money to half of the town and has sworn never to lie again, and one is a child who saw everything"
    " from a window and was never asked. Keep their voices apart, do not say who is right, and write plainly."
)
THREADS_AT_ONCE = 5
SERVE = "transformers serve"
MANY = 16
# What the engine has to make of a peer's tokens/s, with few requests and with `MANY` or more.
TARGETS = {("engine", "threads"): (1, 5), ("engine, 8 bits", "threads"): (1, 10), ("engine", SERVE): (1, 1)}


@dataclass(frozen=True)
class Plan:
    checkpoint: str
    concurrencies: tuple[int, ...]
    tokens: int
    """New tokens a request."""
    rounds: int
    threads: int
    minutes: float = 6.0
    """No further round is begun that would likely end later."""
    peer_python: str = sys.executable
    """Runs `transformers serve`."""


class Measured(NamedTuple):
    tokens: int
    seconds: float
    processor: float
    """Seconds of all threads together."""
    first: list[float]
    """Seconds to the first token of each request; empty where there is no telling."""


class _Clock:
    def __init__(self) -> None:
        self.began = time.monotonic()
        self._processor = time.process_time()

    def measured(self, tokens: int, first: list[float]) -> Measured:
        spent = time.process_time() - self._processor
        return Measured(tokens, time.monotonic() - self.began, spent, first)


Runner = Callable[[list[str], int], Measured]


def prompts(count: int, seed: int) -> list[str]:
    """Always the same for a seed, no two alike: three of four short, every fourth long."""
    chance = random.Random(seed)  # noqa: S311 - not secret
    return [
        f"Task {chance.randrange(10**6)}: tell me a long story about {chance.choice(PLACES)}, number {number}."
        + (LONG if number % 4 == 3 else "")
        for number in range(count)
    ]


def measure(plan: Plan, say: Callable[[str], None]) -> bool:
    """Print a row for each way; whether the engine meets all targets."""
    from workers.engines.transformers import loading  # noqa: F401 - before torch: it says how long threads spin

    import torch  # isort: skip

    torch.set_num_threads(plan.threads)
    results: dict[tuple[str, int], list[Measured]] = {}
    if not transformers_serve.usable(plan.peer_python):
        say(f"{SERVE} is left out: pip install fastapi uvicorn, or --peer-python of another environment.")
    began = time.monotonic()
    for round_ in range(plan.rounds):
        if round_ and (time.monotonic() - began) * (round_ + 1) / round_ > 60 * plan.minutes:
            say(f"{round_} of {plan.rounds} rounds, for the time: --minutes allows more.")
            break
        for name, make in _sides(plan).items():
            # In a thread of its own that ends: OpenMP's helpers of each thread that computed would slow down the next.
            with ThreadPoolExecutor(1) as alone:
                for concurrency, measured in alone.submit(_round, plan, make, round_).result().items():
                    results.setdefault((name, concurrency), []).append(measured)
            gc.collect()
    return _report(plan, results, say)


def _round(plan: Plan, make: Callable[[], Any], number: int) -> dict[int, Measured]:
    with make() as runner:
        runner(prompts(1, 0), 4)  # warm
        return {
            concurrency: runner(prompts(concurrency, seed=100 * number + concurrency), plan.tokens)
            for concurrency in plan.concurrencies
        }


def _report(plan: Plan, results: dict[tuple[str, int], list[Measured]], say: Callable[[str], None]) -> bool:
    say(f"{'tokens/s, ms a token, first':<28}" + "".join(f"{c:>22}" for c in plan.concurrencies))
    names = list(dict.fromkeys(name for name, _ in results))
    speeds: dict[tuple[str, int], float] = {}
    for name in names:
        row = f"{name:<28}"
        for concurrency in plan.concurrencies:
            rounds = results[name, concurrency]
            speed = statistics.median(measured.tokens / measured.seconds for measured in rounds)
            speeds[name, concurrency] = speed
            firsts = [value for measured in rounds for value in measured.first]
            cost = statistics.median(1000 * measured.processor / measured.tokens for measured in rounds)
            first = f"{statistics.median(firsts):.2f} s" if firsts else ""
            row += f"{speed:>7.1f}{cost:>7.1f}{first:>8}"
        say(row)
    # As a list: every row is printed.
    rows = [_ratios(plan, ours, peer, speeds, say) for ours in names[-2:] for peer in names[:-2]]
    return all(rows)


def _ratios(
    plan: Plan, ours: str, peer: str, speeds: dict[tuple[str, int], float], say: Callable[[str], None]
) -> bool:
    """Print how often the peer's speed ours is; whether that is enough."""
    row, holds = f"{ours + ' ÷ ' + peer:<36}"[:36], True
    few, many = TARGETS.get((ours, peer), (0, 0))
    for concurrency in plan.concurrencies:
        ratio = speeds[ours, concurrency] / speeds[peer, concurrency]
        target = many if concurrency >= MANY else few
        met = ratio >= target
        holds = holds and met
        row += f"{ratio:>10.2f}{'' if met else f' MISSED ({target})':<12}"
    say(row)
    return holds


def _sides(plan: Plan) -> dict[str, Callable[[], Any]]:
    """Peers first, then the engine in its two ways."""
    serve = {SERVE: lambda: _served(plan)} if transformers_serve.usable(plan.peer_python) else {}
    return {
        "threads": lambda: _Plain(plan, batched=False),
        "generate": lambda: _Plain(plan, batched=True),
        **serve,
        "engine": lambda: _Engine(plan, TransformersOptions(device="cpu")),
        "engine, 8 bits": lambda: _Engine(plan, TransformersOptions(device="cpu", load_8bit=True)),
    }


@contextmanager
def _served(plan: Plan) -> Iterator[Runner]:
    with transformers_serve.serving(plan.checkpoint, python=plan.peer_python, threads=plan.threads) as server:
        yield lambda asked, tokens: Measured(*server.ask(asked, tokens))


class _Engine:
    def __init__(self, plan: Plan, options: TransformersOptions):
        self._plan, self._options = plan, options

    def __enter__(self) -> Runner:
        from workers.engines.transformers.engine import load_engine

        most = max(self._plan.concurrencies)
        self._engine = load_engine(
            "measured",
            self._plan.checkpoint,
            Path(self._plan.checkpoint),
            options=self._options,
            slots=most,
            context_length=1024,
            threads=self._plan.threads,
        )
        # A bias against the tokens that end a reply, so that all say as much. Once: to look for them takes 20 ms.
        ends = self._engine.prompts.ends(self._engine.model)
        self._bias = tuple((token, -100.0) for token in ends)
        return self._run

    def __exit__(self, *exception: object) -> None:
        self._engine.close()

    def _run(self, asked: list[str], tokens: int) -> Measured:
        clock = _Clock()
        with ThreadPoolExecutor(len(asked)) as pool:
            done = list(pool.map(lambda text: self._one(text, tokens, clock.began), asked))
        return clock.measured(sum(count for count, _ in done), [first for _, first in done])

    def _one(self, text: str, tokens: int, began: float) -> tuple[int, float]:
        sampling = Sampling(temperature=0.0, max_tokens=tokens, logit_bias=self._bias)
        request = GenerationRequest(
            "0", "measured", (ChatMessage("user", text),), time.time() + 600, sampling
        )
        first = 0.0
        for event in self._engine.stream(request, StopSignal()):
            if isinstance(event, Delta) and not first:
                first = time.monotonic() - began
            if isinstance(event, Failed):
                raise RuntimeError(event.message)
            if isinstance(event, Finished):
                return event.usage.completion_tokens, first
        raise RuntimeError("the engine ended without a word")


class _Plain:
    """The model as transformers loads it."""

    def __init__(self, plan: Plan, *, batched: bool):
        self._plan, self._batched = plan, batched

    def __enter__(self) -> Runner:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(self._plan.checkpoint, padding_side="left")
        self._tokenizer.pad_token = self._tokenizer.pad_token or self._tokenizer.eos_token
        self._model = AutoModelForCausalLM.from_pretrained(self._plan.checkpoint).eval()
        return self._generate if self._batched else self._threads

    def __exit__(self, *exception: object) -> None:
        del self._model

    def _ids(self, asked: list[str]) -> Any:
        texts = [
            self._tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
            )
            for text in asked
        ]
        return self._tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)

    def _generate(self, asked: list[str], tokens: int) -> Measured:
        import torch

        clock = _Clock()
        with torch.inference_mode():
            self._model.generate(
                **self._ids(asked),
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
                pad_token_id=self._tokenizer.pad_token_id,
            )
        return clock.measured(tokens * len(asked), [])

    def _threads(self, asked: list[str], tokens: int) -> Measured:
        gate, clock = threading.Semaphore(THREADS_AT_ONCE), _Clock()

        def run(text: str) -> float:
            with gate:
                return self._one(text, tokens) - clock.began

        with ThreadPoolExecutor(len(asked)) as pool:
            firsts = list(pool.map(run, asked))
        return clock.measured(tokens * len(asked), firsts)

    def _one(self, text: str, tokens: int) -> float:
        import torch

        with torch.inference_mode():
            ids, cache, first = self._ids([text]).input_ids, None, 0.0
            for _ in range(tokens):
                output = self._model(input_ids=ids, past_key_values=cache, use_cache=True)
                cache = getattr(output, "cache", None) or output.past_key_values
                ids = output.logits[:, -1:].argmax(-1)
                first = first or time.monotonic()
        return first
