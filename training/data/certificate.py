"""The certificate: proof, before a training starts, that a tokenizer and a template teach what is meant.

Without it training is refused. FastChat's mask, made for one template and one kind of tokenizer, blanks 333 of its
own 500 sample conversations on another and only prints a warning; a run on such data costs money and teaches
nothing.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from training.data.masking import Cut, Detailed, Masker, Template, Tokenize, unrolled
from training.data.records import BadRow, Conversation, Message

PACKED_TOLERANCE = 1e-5
"""Of the mean loss, packed against unpacked."""


class Check(NamedTuple):
    name: str
    passed: bool
    detail: str = ""
    """What is wrong and what helps; "" where nothing is."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was proved about a tokenizer with a template."""

    key: str
    """Of both: any change in either needs a new certificate."""
    cut: Cut
    checks: tuple[Check, ...]

    @property
    def valid(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def problem(self) -> str:
        """Why it is refused, or ""."""
        return " ".join(check.detail for check in self.checks if not check.passed)

    def as_dict(self) -> dict[str, Any]:
        checks = {check.name: check.detail or "ok" for check in self.checks}
        return {"key": self.key, "cut": str(self.cut), "valid": self.valid, "checks": checks}

    def with_check(self, check: Check) -> "Certificate":
        return replace(self, checks=(*self.checks, check))


class Refused(ValueError):  # noqa: N818 - reads as what happened
    """Training must not start; the text says what is wrong and what helps."""

    def __init__(self, certificate: Certificate):
        super().__init__(f"No certificate for this tokenizer and template. {certificate.problem}")
        self.certificate = certificate


@dataclass(frozen=True, slots=True)
class Ends:
    """What ends an answer when the model is served."""

    ids: frozenset[int]
    texts: tuple[str, ...] = ()
    """Stop strings of a template whose turns end with plain text."""


def _talk(*texts: str, system: str = "") -> Conversation:
    head = (Message("system", system),) if system else ()
    turns = tuple(Message(("user", "assistant")[index % 2], text) for index, text in enumerate(texts))
    return Conversation("probe", (*head, *turns))


PROBES = (
    _talk("Who are you?", "I am here to help."),
    _talk("Hi", "Hello! How are you?", "Fine. And you?", "Fine, too.", "Good", "Yes: it is."),
    _talk(
        "Count", "1. one\n2. two\n\n3. three", "Now code", "```python\nfor i in range(3):\n    print(i)\n```"
    ),
    _talk("Grüße", "Äpfel, naïve café — 日本語 🙂👩‍👩‍👧", "?", "…"),
)
WITH_SYSTEM = _talk("Hi", "Hello.", "More", "More of it.", system="Be brief.")


def key(tokenizer: str, template: str, ends: Ends) -> str:
    """`tokenizer` is its whole description (tokenizer.json), `template` the source."""
    value = "\x00".join((tokenizer, template, repr(sorted(ends.ids)), repr(ends.texts)))
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def certify(
    template: Template,
    tokenize: Tokenize,
    decode: Callable[[Sequence[int]], str],
    ends: Ends,
    *,
    name: str = "",
    samples: Iterable[Conversation] = (),
) -> Certificate:
    """The certificate for the first way to cut that holds, else for the one that fails least.

    `samples` are some of the conversations to train on. `name` is the certificate's key.
    """
    best: Certificate | None = None
    for cut in Cut:
        masker = Masker(template, tokenize, cut)
        found = Certificate(name, cut, tuple(_checks(masker, decode, ends, list(samples))))
        if found.valid:
            return found
        if best is None or _failures(found) < _failures(best):
            best = found
    assert best is not None
    return best


def packed_check(packed: float, unpacked: float) -> Check:
    """The last check, for those who can run a model: the mean loss of the same rows, packed and one by one."""
    difference = abs(packed - unpacked) / max(1.0, abs(unpacked))
    passed = difference <= PACKED_TOLERANCE
    detail = f"Packed rows give a loss of {packed:.6f} instead of {unpacked:.6f}: rows see each other. Train unpacked."
    return Check("packed equals unpacked", passed, "" if passed else detail)


def _failures(certificate: Certificate) -> int:
    return sum(not check.passed for check in certificate.checks)


def _checks(
    masker: Masker, decode: Callable[[Sequence[int]], str], ends: Ends, samples: Sequence[Conversation]
) -> Iterable[Check]:
    rows: list[tuple[Conversation, tuple[Message, ...], Detailed]] = []
    problems: dict[str, str] = {}
    for conversation in (*PROBES, WITH_SYSTEM, *samples):
        for messages in unrolled(conversation, masker.cut):
            try:
                rows.append((conversation, messages, masker.detailed(messages, conversation.extra)))
            except BadRow as error:
                if conversation is not WITH_SYSTEM:  # many templates know no system message
                    problems.setdefault("rendered", error.detail)
    for conversation, messages, row in rows:
        for check, problem in (
            ("prefix", _prefix_problem(masker, messages, row, conversation.extra)),
            ("text recovered", _text_problem(row, decode, ends)),
            ("stop trained", _stop_problem(row, ends)),
            ("loss everywhere", "" if any(row.mask) else "A conversation has no token that carries loss."),
        ):
            if problem:
                problems.setdefault(check, problem)
    for check in ("rendered", "prefix", "text recovered", "stop trained", "loss everywhere"):
        yield Check(check, check not in problems, problems.get(check, ""))


def _prefix_problem(
    masker: Masker, messages: Sequence[Message], row: Detailed, extra: Mapping[str, Any]
) -> str:
    """Each answer must stand behind exactly the tokens that the model gets when it is asked for it."""
    for turn in row.turns:
        prompt = masker.prompt_ids(messages[: turn.number], extra)
        if row.ids[: len(prompt)] != prompt or turn.tokens[0] != len(prompt):
            shown = row.text[max(0, turn.span[0] - 20) : turn.span[0] + 10]
            return (
                f"The tokens in front of an answer differ from those the model is asked with, near {shown!r}: "
                "the template writes earlier turns differently, or the open turn ends within a token."
            )
    return ""


def _text_problem(row: Detailed, decode: Callable[[Sequence[int]], str], ends: Ends) -> str:
    """What carries loss, read as text, must be the answer and the mark that ends it, and nothing else."""
    for turn in row.turns:
        first, behind = turn.tokens
        text = decode(row.ids[first:behind])
        written = row.text[turn.span[0] : turn.span[1]]
        answer = turn.message.text.strip()
        # Tokenizers of the SentencePiece family leave out a blank in front.
        if text.strip() != written.strip() or answer not in written:
            return f"The tokens that carry loss read {text[:60]!r} instead of {written[:60]!r}."
    return ""


def _stop_problem(row: Detailed, ends: Ends) -> str:
    for turn in row.turns:
        first, behind = turn.tokens
        last = row.ids[behind - 1] if behind > first else -1
        written = row.text[turn.span[0] : turn.span[1]]
        if last not in ends.ids and not any(
            stop and written.rstrip().endswith(stop.rstrip()) for stop in ends.texts
        ):
            return (
                f"An answer ends with {written[-12:]!r}, which stops nothing when the model is served, so it would "
                "never learn to stop. Let the template write the end-of-text token behind each answer, or name "
                "the string that ends it as a stop string."
            )
    return ""
