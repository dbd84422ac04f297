"""Logits only for the tokens that carry loss: of prompts and padding nobody asks what comes next.

A vocabulary has tens of thousands of entries, so for small models the last layer is a fifth of all computing, and for
all of them logits in 32 bits are most of a batch's memory. The hidden states that nobody learns from are taken out in
front of that layer; what a model does to its logits behind it (a cap, a scale) meets all of them alike.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from training.data.packing import IGNORED

SAME = 1e-4
"""How far, as a share, the loss may be from the model's own; sums are in another order."""


def narrow(inputs: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The inputs with the tokens to be written as `shift_labels` (1, N), and where they are written from (B, L)."""
    labels = inputs["labels"]
    following = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
    learnt = following != IGNORED
    return {**inputs, "shift_labels": following[learnt][None]}, learnt


@contextmanager
def only(head: Any, learnt: torch.Tensor) -> Iterator[None]:
    """Within, `head` sees the hidden states (B, L, H) of `learnt` alone, as (1, N, H)."""
    hook = head.register_forward_pre_hook(lambda _, given: (given[0][learnt][None], *given[1:]))
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def usable(model: Any, inputs: dict[str, torch.Tensor]) -> Any:
    """The model's last layer, when its loss comes out the same with the narrowed logits; else None.

    Not every model lets the labels be given, and a model of one's own may do anything with its logits.
    """
    head = model.get_output_embeddings()
    if head is None:
        return None
    device = next(model.parameters()).device
    given = {name: value.to(device) for name, value in inputs.items()}
    was_training = model.training
    model.eval()
    try:
        whole = float(model(**given, use_cache=False).loss)
        narrowed, learnt = narrow(given)
        with only(head, learnt):
            found = float(model(**narrowed, use_cache=False).loss)
    except (TypeError, ValueError, RuntimeError, IndexError):
        return None
    finally:
        model.train(was_training)
    return head if abs(found - whole) <= SAME * max(1.0, abs(whole)) else None
