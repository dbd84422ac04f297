"""How likely each token of a prompt was behind the tokens before it: what `echo` with `logprobs` asks for.

Likelihood tasks of lm-evaluation-harness (`local-completions`) are made of nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from workers.engines.transformers.text import TokenBytes
from workers.protocol import TokenLogprob

# Positions whose logits (as many floats as the vocabulary has tokens, each) are in memory at once. Running replies take
# their steps in between.
SCORED_AT_ONCE = 256

Logits = Callable[[int, int], torch.Tensor]
"""(first, last) → the logits behind each token of `ids[first:last]`, (last − first, vocabulary)."""


def scored(ids: Sequence[int], logits: Logits, names: TokenBytes, top: int) -> Iterator[TokenLogprob]:
    """Each token of the prompt with its log-probability and the `top` likeliest in its place.

    Nothing stands before the first one, so nothing can be said of it.
    """
    yield replace(names.told(ids[0], 0.0, ()), logprob=None)
    for first in range(0, len(ids) - 1, SCORED_AT_ONCE):
        last = min(first + SCORED_AT_ONCE, len(ids) - 1)
        likelihoods = torch.log_softmax(logits(first, last).float(), dim=-1)
        targets = torch.tensor(ids[first + 1 : last + 1], device=likelihoods.device)
        own = likelihoods.gather(1, targets[:, None])[:, 0].tolist()
        best = likelihoods.topk(min(top, likelihoods.shape[-1]))
        for position, (others, values) in enumerate(
            zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ):
            others_there = tuple(zip(others, values, strict=True))
            yield names.told(ids[first + position + 1], own[position], others_there)
