"""Draws the two chat models of an anonymous battle, and says how probable that was."""

import random
from itertools import combinations
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext

from arena import matching
from arena.errors import NotEnoughChatModels
from arena.matching import Pair
from arena.models import Contender, PinnedPair
from arena.ratings import matchmaking as sampling
from arena.ratings.pairs import PairCounts, PairRow
from arena.selectors import chat_models, leaderboard
from workers.models import ChatModel

# Not to be foreseen by somebody who has seen earlier draws.
_chance = random.SystemRandom()


class Draw(NamedTuple):
    left: str
    right: str
    propensity: float
    """Of this pair in either order; the order is a fair coin."""


def draw(*, seeing: bool = False) -> Draw:
    """Needs no configuration: without weights and pinned pairs all pairs of living, published chat models are alike.

    `seeing`: only among those that look at images. Raises `NotEnoughChatModels`.
    """
    chances = probabilities(seeing=seeing)
    if not chances and seeing:
        raise NotEnoughChatModels(
            gettext(
                "A battle about an image needs two chat models that look at images, and there are not as many at the"
                " moment. Remove the image, or try again later."
            )
        )
    if not chances:
        raise NotEnoughChatModels(
            gettext(
                "A battle needs two chat models that are online, and there are not as many at the moment."
                " Try again later, or ask the administrator to start another one."
            )
        )
    pairs = list(chances)
    chosen = _chance.choices(pairs, weights=[chances[key] for key in pairs])[0]
    left, right = _chance.sample(chosen, 2)
    return Draw(left, right, chances[chosen])


def probabilities(*, seeing: bool = False) -> dict[Pair, float]:
    """Of every pair that can fight now; they add up to 1. Empty with fewer than two chat models."""
    choices = chat_models.choices()
    alive = sorted(choice.name for choice in choices if choice.served and (choice.sees or not seeing))
    if len(alive) < 2:
        return {}
    weights = dict.fromkeys(alive, 1.0) | _weights(alive)
    rows = PinnedPair.objects.values_list("first__name", "second__name", "share")
    pinned = [matching.Pinned(*row) for row in rows]
    chances = _active(alive, weights) if settings.ARENA_SAMPLER == "active" else matching.by_weight(weights)
    return matching.with_pinned(chances, pinned, alive)


def _active(names: list[str], weights: dict[str, float]) -> dict[Pair, float]:
    """Most often the pairs that narrow the intervals most, by the votes so far; every pair keeps a chance."""
    counters = leaderboard.pair_rows(leaderboard.Query())
    counts = PairCounts.from_rows(
        PairRow(*(getattr(counter, field) for field in PairRow._fields)) for counter in counters
    )
    drawn = sampling.active(counts, names)
    chances = {
        matching.pair(names[i], names[j]): float(drawn[i, j] + drawn[j, i])
        for i, j in combinations(range(len(names)), 2)
    }
    return matching.times_weights(chances, weights)


def _weights(names: list[str]) -> dict[str, float]:
    rows = Contender.objects.filter(chat_model__name__in=names)
    return dict(rows.values_list("chat_model__name", "weight"))


@transaction.atomic
def pin(*, first: ChatModel, second: ChatModel, share: float) -> PinnedPair:
    """Give a pair a share of all battles, 0 to 1; a pair that is pinned already gets the new one.

    Raises `ValidationError` by field.
    """
    pair = (
        PinnedPair.objects.select_for_update()
        .filter(Q(first=first, second=second) | Q(first=second, second=first))
        .first()
    ) or PinnedPair(first=first, second=second)
    pair.share = share
    pair.full_clean()
    pair.save()
    return pair
