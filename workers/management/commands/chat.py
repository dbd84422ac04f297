"""Talk to a chat model in the terminal, through the workers that run."""

import sys
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from workers.terminal import defaults
from workers.terminal.asking import BrokerAway
from workers.terminal.choosing import CannotChoose, choose
from workers.terminal.options import SAMPLING_OPTIONS, add_sampling_options, ended_by_signals
from workers.terminal.session import COMMANDS, Session
from workers.terminal.styles import PlainStyle, ProgrammaticStyle, RichStyle, SimpleStyle, Style
from workers.terminal.talk import Talk


class Command(BaseCommand):
    help = (
        "Talk to a chat model in the terminal, through the running workers. Nothing of it is stored, unless you "
        "!!save it. In a pipe each line is a message: `echo 'Hello!' | manage.py chat`."
    )
    requires_system_checks: list[str] = []  # a worker's machine has no database to check

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--model", metavar="NAME", help="Chat model (default: the only one that runs).")
        parser.add_argument(
            "--style",
            choices=["simple", "rich", "programmatic"],
            default="simple",
            help="simple: text as it comes. rich: Markdown, history, Esc Enter for a new line. "
            "programmatic: for programs, as FastChat's. Default: %(default)s.",
        )
        add_sampling_options(parser)

    def handle(self, *args: object, model: str | None, style: str, **options: Any) -> None:
        streams = _make_tolerant(sys.stdin), _make_tolerant(sys.stdout)
        try:
            name = choose(model, known=defaults.known_names())
        except (CannotChoose, BrokerAway) as error:
            raise CommandError(str(error)) from None
        interactive = style != "programmatic" and all(stream.isatty() for stream in streams)
        manner = defaults.manner(name, **{option: options[option] for option in SAMPLING_OPTIONS})
        session = Session(
            chat_model=name,
            talk=Talk(manner.system),
            sampling=manner.sampling,
            style=_style(style, name, interactive=interactive),
            interactive=interactive,
        )
        if interactive:
            self.stderr.write(
                f"Talking to {name}. !!help lists the commands, Ctrl-D leaves.", lambda text: text
            )
        with ended_by_signals():
            try:
                failures = session.run().failures
            except KeyboardInterrupt:
                sys.exit(130)
        if interactive:
            print()  # the shell's prompt starts on a line of its own
        elif failures:
            sys.exit(1)


def _style(style: str, name: str, *, interactive: bool) -> Style:
    if style == "programmatic":
        return ProgrammaticStyle(sys.stdin, sys.stdout, sys.stderr)
    if not interactive:
        return PlainStyle(sys.stdin, sys.stdout, sys.stderr)
    if style == "rich":
        return RichStyle(name, [command.split()[0] for command in COMMANDS])
    return SimpleStyle(name)


def _make_tolerant(stream: TextIO) -> TextIO:
    """A byte or a character that the terminal's encoding does not have becomes a question mark, not an error."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="replace")
    return stream
