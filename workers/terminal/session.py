"""The loop of the terminal chat: read, obey or ask, show."""

import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import Final, NamedTuple

from workers.protocol import ChatMessage, Failed, Finished, FinishReason, Sampling, Waiting
from workers.terminal import saving
from workers.terminal.asking import Answer, Asking, explain, new_request, place_in_words, stopped_by_ctrl_c
from workers.terminal.sources import Source, SourceAway
from workers.terminal.styles import Style
from workers.terminal.talk import Talk

COMMANDS: Final = {
    "!!help": "show this list",
    "!!exit": "leave (so does Ctrl-D)",
    "!!reset": "forget everything and start anew",
    "!!remove": "take the last message and its answer back",
    "!!regen": "ask the last message again",
    "!!save FILE": "keep the talk in a file (JSON)",
    "!!load FILE": "go on with a talk from a file",
}
HELP: Final = "\n".join(
    [
        "Write a message and press Enter. Ctrl-C stops an answer. Commands:",
        *(f"  {name:<12} {meaning}" for name, meaning in COMMANDS.items()),
    ]
)
# Ctrl-C twice at the prompt within this time leaves.
TWICE_SECONDS: Final = 2.0


class Outcome(NamedTuple):
    failures: int
    """Messages without an answer, and commands that did not work."""


class Session:
    """A person (or a pipe) talking to one chat model."""

    def __init__(
        self,
        *,
        chat_model: str,
        talk: Talk,
        sampling: Sampling,
        style: Style,
        interactive: bool,
        source: Source | None = None,
        remembers: bool = True,
        tells_speed: bool = False,
    ) -> None:
        """Without a `source` the running workers answer. One that does not remember sees each message alone."""
        self._chat_model = chat_model
        self._source = source
        self._remembers = remembers
        self._tells_speed = tells_speed
        self._talk = talk
        self._sampling = sampling
        self._style = style
        self._interactive = interactive
        self._failures = 0
        self._interrupted_at = float("-inf")
        self._actions: dict[str, Callable[[str], None]] = {
            "!!help": self._help,
            "!!reset": self._reset,
            "!!remove": self._remove,
            "!!regen": self._regenerate,
            "!!save": self._save,
            "!!load": self._load,
        }

    def run(self) -> Outcome:
        """Until the end of the input or `!!exit`. Ctrl-C ends a pipe's run with `KeyboardInterrupt`."""
        going_on = True
        while going_on:
            try:
                going_on = self._take_turn()
            except EOFError:
                break
            except KeyboardInterrupt:
                if not self._interactive or self._interrupted_twice():
                    raise
                self._style.note("\nCtrl-C again leaves, and so do Ctrl-D and !!exit.")
        return Outcome(self._failures)

    def _take_turn(self) -> bool:
        """Read a line and do what it says. False when it asks to leave."""
        line = self._style.read()
        if line.strip() == "!!exit":
            return False
        self.obey_or_ask(line)
        return True

    def obey_or_ask(self, line: str) -> None:
        command, _, rest = line.strip().partition(" ")
        if not command:
            return
        if not command.startswith("!!"):
            self._ask(line)
        elif action := self._actions.get(command):
            action(rest.strip())
        else:
            self._fail(f"{command} is not a command; !!help lists them.")

    def _interrupted_twice(self) -> bool:
        before, self._interrupted_at = self._interrupted_at, time.monotonic()
        return self._interrupted_at - before < TWICE_SECONDS

    def _ask(self, text: str) -> None:
        if not self._remembers:
            self._talk.reset()
        before = list(self._talk.messages)
        self._talk.say(text)
        self._answer(before, "The message was taken back.")

    def _regenerate(self, rest: str) -> None:
        before = list(self._talk.messages)
        if self._talk.forget_answer():
            self._answer(before, "The talk stays as it was.")
        else:
            self._fail("There is nothing to ask again.")

    def _answer(self, before: list[ChatMessage], comfort: str) -> None:
        """Ask the talk's last message. Without an answer the talk is as `before`, so the turns stay in order."""
        request = new_request(
            chat_model=self._chat_model, messages=self._talk.prompt(), sampling=self._sampling
        )
        asking = Asking(request, self._source)
        ctrl_c = stopped_by_ctrl_c(asking) if self._interactive else nullcontext()
        kept = False
        try:
            # Closed by hand: whatever happens while printing must reach the worker before the process ends.
            with ctrl_c, closing(asking.deltas(self._tell_place)) as deltas:
                self._style.answer(deltas)
            assert asking.answer is not None  # a style reads the deltas to their end
            text, ending = asking.answer.text, asking.answer.ending
            if isinstance(ending, Finished) and text.strip():
                self._talk.answer(text)
                kept = True
            self._tell_about(ending, "" if kept else comfort)
            if self._tells_speed:
                self._style.note(speed(asking.answer))
        except SourceAway as error:
            self._fail(f"{error}. {comfort}")
        finally:
            if not kept:
                self._talk.messages = before

    def _tell_place(self, place: Waiting) -> None:
        self._style.waiting(place_in_words(place))

    def _tell_about(self, ending: Finished | Failed, comfort: str) -> None:
        if isinstance(ending, Failed):
            self._fail(f"{explain(ending)} {comfort}")
        elif ending.reason is FinishReason.CANCELLED:
            self._style.note(f"(stopped) {comfort}".strip())
        elif ending.reason is FinishReason.LENGTH:
            self._style.note("(cut off: as many tokens as are allowed)")
        elif comfort:
            self._style.note(f"(an empty answer) {comfort}")

    def _fail(self, text: str) -> None:
        self._failures += 1
        self._style.problem(text)

    def _help(self, rest: str) -> None:
        self._style.note(HELP)

    def _reset(self, rest: str) -> None:
        self._talk.reset()
        self._style.note("A new talk begins.")

    def _remove(self, rest: str) -> None:
        if not self._talk.take_back():
            self._fail("There is nothing to take back.")
            return
        self._style.note("The last turn is taken back." if self._talk.messages else "The talk is empty now.")
        self._style.replay(self._talk.messages)

    def _save(self, name: str) -> None:
        if not name:
            self._fail("Say where: !!save FILE")
            return
        try:
            path = saving.save(self._talk, name, chat_model=self._chat_model)
        except saving.FileProblem as error:
            self._fail(str(error))
        else:
            self._style.note(f"Saved in {path}.")

    def _load(self, name: str) -> None:
        if not name:
            self._fail("Say what: !!load FILE")
            return
        try:
            self._talk = saving.load(name)
        except saving.FileProblem as error:
            self._fail(str(error))
            return
        self._style.replay(self._talk.messages)
        if self._talk.messages and self._talk.messages[-1].role == "user":
            self._style.note("The last message has no answer yet: !!regen asks it.")


def speed(answer: Answer) -> str:
    """Who answered, how much and how fast, on one line."""
    usage = answer.ending.usage
    parts = [f"{usage.completion_tokens} tokens in {answer.seconds:.2f} s"]
    if answer.tokens_per_second is not None:
        parts.append(f"{answer.tokens_per_second:.1f} tokens/s")
    if answer.first_text_after is not None:
        parts.append(f"first token after {answer.first_text_after * 1000:.0f} ms")
    return f"[{answer.worker}: {', '.join(parts)}; the prompt had {usage.prompt_tokens} tokens]"
