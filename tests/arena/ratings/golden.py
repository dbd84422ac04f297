"""Votes by arithmetic alone, and what other programs make of them.

The numbers were computed once by lm-sys/FastChat's fastchat/serve/monitor/rating_systems.py (commit 2bdb2e0) with scipy
1.17, on exactly these votes; nothing of that program is needed to run the tests.
"""

import numpy as np

from arena.ratings.pairs import Outcomes

MODELS = ("a", "b", "c", "d", "e", "f")


def rows(number: int = 3000) -> list[tuple[str, str, str, tuple[int, ...]]]:
    """(left, right, winner, the eight style counts) with earlier models and longer answers winning more often."""
    made = []
    for k in range(number):
        left = (k * 7 + k // 11) % 6
        right = (left + 1 + (k * 5 + k // 13) % 5) % 6
        luck = (k * 7919 + 31 * (k // 7)) % 1009 / 1009
        style = tuple(
            (k * factor) % modulus for factor, modulus in ((17, 401), (3, 5), (5, 9), (11, 7))
        ) + tuple((k * factor) % modulus for factor, modulus in ((29, 397), (7, 5), (13, 8), (3, 6)))
        edge = 0.07 * (right - left) + 0.12 * (style[0] - style[4]) / (style[0] + style[4] + 1)
        winner = "tie" if luck > 0.88 else ("model_a" if luck / 0.88 < 0.5 + edge else "model_b")
        made.append((MODELS[left], MODELS[right], winner, style))
    return made


def outcomes() -> tuple[Outcomes, np.ndarray, np.ndarray]:
    made = rows()
    score = {"model_a": 1.0, "tie": 0.5, "model_b": 0.0}
    style = np.array([row[3] for row in made], dtype=np.float64)
    votes = Outcomes.of([r[0] for r in made], [r[1] for r in made], [score[r[2]] for r in made])
    return votes, style[:, :4], style[:, 4:]
