"""Whether a model can be driven by slots: asked once, when it is loaded, with real numbers instead of a list of
names."""

from typing import Any

import torch

from workers.engines.base import EngineError, Meter, StopSignal
from workers.engines.stopping import StopStrings
from workers.engines.transformers.rows import Prompt, Row
from workers.engines.transformers.sampling import Picker, Settings
from workers.engines.transformers.slots import ATTENTION, SlotBatch

# Two texts of different lengths, read in pieces of a few tokens beside each other.
FIRST, SECOND, PIECE = 11, 5, 4
# Of the logits' range: rounding in another order moves them by less, a wrong mask or position by far more.
TOLERANCE = 0.05


class _NoText:
    def feed(self, token: int) -> str:
        return ""


def check_slots(model: Any) -> str:
    """Set the model to the slots' attention and compare; "" when all is well, else why not (and it is set back).

    Raises `EngineError` for a model that cannot be run at all.
    """
    before = model.config._attn_implementation
    texts = [_text(model, FIRST, 3), _text(model, SECOND, 7)]
    with torch.inference_mode():
        try:
            expected = [model(input_ids=ids).logits[0, -1].float() for ids in texts]
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0][:200]
            raise EngineError(
                f"The checkpoint was loaded and cannot be run ({type(error).__name__}: {first})."
            ) from error
        why = _compare(model, texts, expected)
    if why:
        _set_attention(model, before)
    return why


def _compare(model: Any, texts: list[torch.Tensor], expected: list[torch.Tensor]) -> str:
    try:
        _set_attention(model, ATTENTION)
        batch = SlotBatch(model, slots=3, context=FIRST + SECOND, step_tokens=PIECE)
        rows = [_row(ids[0].tolist()) for ids in texts]
        for row in rows:
            batch.enter(row)
        found: dict[int, torch.Tensor] = {}
        while len(found) < len(rows):
            ready, logits = batch.step()
            for row, values in zip(ready, logits, strict=True):
                found.setdefault(rows.index(row), values.float())
                row.ids.append(1)
    except Exception as error:
        return f"its own code does not go through ours ({type(error).__name__})"
    for number, values in enumerate(expected):
        if not torch.isfinite(found[number]).all():
            return "its numbers are not finite"
        span = float(values.max() - values.min())
        if float((values - found[number]).abs().max()) > TOLERANCE * max(span, 1e-6):
            return "its numbers differ"
    return ""


def _text(model: Any, length: int, step: int) -> torch.Tensor:
    size = model.get_input_embeddings().num_embeddings
    return torch.tensor([[(5 + number * step) % size for number in range(length)]], device=model.device)


def _row(ids: list[int]) -> Row:
    return Row(
        Prompt(ids, []),
        picker=Picker(Settings()),
        text=_NoText(),
        stops=StopStrings(()),
        ends=(),
        limit=1,
        meter=Meter(),
        stop=StopSignal(),
        reuse=False,
    )


def _set_attention(model: Any, name: str) -> None:
    model.set_attn_implementation(name)
