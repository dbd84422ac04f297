"""Prompts to begin a battle with, for those who have no question at hand."""

import random

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# Each one can be answered well and badly, and by a person without special knowledge told apart.
EXAMPLES: tuple[Promise, ...] = (
    _("Write four lines of verse about a lighthouse that is afraid of the dark."),
    _(
        "My train leaves at 9:40 and the walk takes 25 minutes. When do I have to go, with ten minutes to spare?"
    ),
    _("Explain to a nine-year-old why the moon does not fall down."),
    _(
        "Write a Python function that returns the second largest number of a list, and say what it does with repeats."
    ),
    _("Give me three arguments for and three against meetings without laptops."),
    _("Turn this into a polite e-mail: “Your invoice is wrong again. Fix it.”"),
    _("What can I cook from rice, eggs, spinach and a lemon? One dish, in five steps."),
    _("Name the odd one out and say why: copper, iron, oak, tin."),
    _("Summarise the story of Cinderella in exactly three sentences."),
    _(
        "A shop lowers a price by 20 % and then raises it by 20 %. Is it the old price again? Show your working."
    ),
    _("Invent a board game for two players that needs only a coin and a sheet of paper."),
    _("Which questions should I ask before I rent an old flat? List the five most important ones."),
)


def some(amount: int) -> list[str]:
    """Different ones each time, in the reader's language."""
    return [str(example) for example in random.sample(EXAMPLES, amount)]
