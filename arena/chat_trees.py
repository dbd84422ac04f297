"""A conversation with its branches: what was said, as a tree, becomes questions with their answers. Pure.

Other programs hang each piece under the piece it followed. Here a question has its answers as versions, the last of
which the conversation goes on with, and a question hangs under another *question*. So where people went on from two
answers to one question, that question stands there twice, once with each.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

MOST_COPIES = 20
"""How often one question is repeated at most; what followed further answers of it is left out."""


class Said(NamedTuple):
    """One piece. `previous` is the position of the piece it follows, which comes earlier in the list; None: nothing."""

    role: str
    """`user` or `assistant`."""
    text: str
    chat_model: str = ""
    previous: int | None = None
    shown: bool = True
    """Whether it is on the branch that was shown."""


class Answer(NamedTuple):
    text: str
    chat_model: str


class Turn(NamedTuple):
    question: str
    answers: tuple[Answer, ...]
    """Oldest first, but the one that the conversation goes on with comes last."""
    previous: int | None
    """The position of the turn before it, which comes earlier in the list."""
    shown: bool


class Exchange(NamedTuple):
    """A question and the answer that the conversation went on with; "" when nobody answered."""

    question: str
    answer: str
    chat_model: str


@dataclass(eq=False)
class _Node:
    role: str
    pieces: list[str]
    chat_model: str
    shown: bool
    parent: "_Node | None" = None
    children: list["_Node"] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n\n".join(self.pieces)


def turns(said: Sequence[Said]) -> list[Turn]:
    """Questions with their answers. What one side says in several pieces becomes one."""
    found: list[Turn] = []
    waiting: list[tuple[_Node, int | None]] = [(question, None) for question in reversed(_questions(said))]
    while waiting:  # not by recursion: talks are long
        question, previous = waiting.pop()
        last = _gone_on_with(question)
        apart = [answer for answer in question.children if answer.children and answer is not last]
        apart = apart[:MOST_COPIES]
        following: list[tuple[_Node, int | None]] = []
        for answer in apart:
            following += [(child, len(found)) for child in answer.children]
            found.append(Turn(question.text, (_answer(answer),), previous, shown=False))
        others = [answer for answer in question.children if answer not in apart and answer is not last]
        answers = tuple(_answer(answer) for answer in [*others, *([last] if last else [])])
        following += [(child, len(found)) for child in (last.children if last else [])]
        found.append(Turn(question.text, answers, previous, question.shown))
        waiting += reversed(following)
    return _shown_to_its_end(found)


def shown(turns: Sequence[Turn]) -> list[Exchange]:
    """The branch that was shown, from its beginning."""
    nothing = Answer("", "")
    return [
        Exchange(turn.question, *(turn.answers[-1] if turn.answers else nothing))
        for turn in turns
        if turn.shown
    ]


def _shown_to_its_end(turns: list[Turn]) -> list[Turn]:
    """The branch that was shown goes on along the newest turns, so that nothing hangs where no arrow leads."""
    newest = {turn.previous: number for number, turn in enumerate(turns)}
    end = max((number for number, turn in enumerate(turns) if turn.shown), default=None)
    while end in newest:
        end = newest[end]
        turns[end] = turns[end]._replace(shown=True)
    return turns


def _questions(said: Sequence[Said]) -> list[_Node]:
    """The questions that begin a branch each, with all that follows: questions and answers in turn."""
    followers = Counter(piece.previous for piece in said)
    nodes: list[_Node] = []
    roots: list[_Node] = []
    greeted: _Node | None = None
    for piece in said:
        parent = None if piece.previous is None else nodes[piece.previous]
        if parent is not None and parent.role == piece.role:
            if followers[piece.previous] == 1:
                parent.pieces.append(piece.text)
                parent.chat_model = piece.chat_model or parent.chat_model
                nodes.append(parent)
                continue
            # Several pieces of the same side go on here: they are versions of each other.
            parent.shown &= not piece.shown
            parent = parent.parent
        if parent is None and piece.role == "assistant":  # it begins with a greeting
            if greeted is None:
                greeted = _Node("user", ["…"], "", shown=piece.shown)
                roots.append(greeted)
            greeted.shown |= piece.shown
            parent = greeted
        node = _Node(piece.role, [piece.text], piece.chat_model, piece.shown, parent)
        (parent.children if parent else roots).append(node)
        nodes.append(node)
    return roots


def _gone_on_with(question: _Node) -> _Node | None:
    """The answer that was shown; where none was, the newest that something follows, or the newest."""
    ordered = sorted(question.children, key=lambda answer: (answer.shown, bool(answer.children)))
    return ordered[-1] if ordered else None


def _answer(node: _Node) -> Answer:
    return Answer(node.text, node.chat_model)
