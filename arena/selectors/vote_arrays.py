"""All counted votes as arrays, in one pass and some thirty bytes each. For what runs in the background."""

from array import array
from dataclasses import dataclass, replace

import numpy as np

from arena.battle_files.rows import SCORES
from arena.models import Vote
from arena.models.leaderboard import EVERYTHING
from arena.ratings.arrays import Integers
from arena.ratings.pairs import Outcomes


@dataclass(frozen=True)
class VoteArrays:
    """`voter` numbers people, `prompt` first messages; who or what is not known is another one each time."""

    outcomes: Outcomes
    rows: dict[str, Integers]
    """The positions of the votes of each language and category, by the name of the slice."""

    def slice(self, name: str) -> Outcomes:
        """Only the votes of a slice, and only the chat models that are in it."""
        chosen = self.outcomes if name == EVERYTHING else self.outcomes.slice(self.rows[name])
        present = np.unique(np.concatenate([chosen.left, chosen.right]))
        place = np.zeros(len(chosen.models), dtype=np.int64)
        place[present] = np.arange(len(present))
        names = tuple(chosen.models[index] for index in present)
        return replace(chosen, models=names, left=place[chosen.left], right=place[chosen.right])


def read() -> VoteArrays:
    """Every vote that counts, by id."""
    names: dict[str, int] = {}
    people: dict[str, int] = {}
    prompts: dict[str, int] = {}
    any_prompt = False
    columns = tuple(array("q") for _ in range(4))
    scores, weights = array("d"), array("d")
    rows: dict[str, array[int]] = {}
    wanted = ("battle__left_name", "battle__right_name", "choice", "weight", "voter_key",
              "battle__prompt_fingerprint", "battle__language", "battle__categories")  # fmt: skip
    found = Vote.objects.filter(counted=True).order_by("id").values_list(*wanted)
    for left, right, choice, weight, voter, prompt, language, categories in found.iterator(chunk_size=20_000):
        if left == right:
            continue
        number = len(scores)
        columns[0].append(names.setdefault(left, len(names)))
        columns[1].append(names.setdefault(right, len(names)))
        columns[2].append(people.setdefault(voter or f"unknown {number}", len(people)))
        columns[3].append(prompts.setdefault(prompt or f"unknown {number}", len(prompts)))
        any_prompt |= bool(prompt)
        scores.append(SCORES[choice])
        weights.append(weight)
        for name in ([f"language:{language}"] if language else []) + [
            f"category:{c}" for c in set(categories)
        ]:
            rows.setdefault(name, array("q")).append(number)
    left, right, voter, prompt = (np.array(column, dtype=np.int64) for column in columns)
    return VoteArrays(
        Outcomes(
            tuple(names),
            left,
            right,
            np.array(scores),
            np.array(weights),
            voter=voter,
            prompt=prompt if any_prompt else None,
        ),
        {name: np.array(numbers, dtype=np.int64) for name, numbers in rows.items()},
    )


def different(column: Integers | None) -> int:
    """How many clusters there are; none where they are not known."""
    return 0 if column is None else len(np.unique(column))
