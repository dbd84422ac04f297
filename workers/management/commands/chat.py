"""Talk to a chat model in the terminal: through the running workers, without any server, or at another server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from workers.terminal import defaults
from workers.terminal.choosing import CannotChoose, choose, choose_among
from workers.terminal.engine_options import add_engine_options, engine_options
from workers.terminal.options import add_sampling_options, ended_by_signals, sampling_of
from workers.terminal.session import COMMANDS, Session
from workers.terminal.sources import InProcess, Remote, Source, SourceAway, Workers, key_of_environment
from workers.terminal.styles import PlainStyle, ProgrammaticStyle, RichStyle, SimpleStyle, Style
from workers.terminal.talk import Talk


class Partner(NamedTuple):
    """Whom one talks to."""

    name: str
    source: Source
    in_catalog: bool
    """Whether this installation's catalog says how it is asked."""


class Command(BaseCommand):
    help = (
        "Talk to a chat model in the terminal: through the running workers, with --checkpoint without any server, with "
        "--remote at any OpenAI-compatible one. Nothing of it is stored, unless you !!save it. In a pipe each line is "
        "a message: `echo 'Hello!' | manage.py chat`."
    )
    requires_system_checks: list[str] = []  # a worker's machine has no database to check

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--model", metavar="NAME", help="Chat model (default: the only one there is).")
        _add_partner_options(parser)
        parser.add_argument(
            "--style",
            choices=["simple", "rich", "programmatic"],
            default="simple",
            help="simple: text as it comes. rich: Markdown, history, Esc Enter for a new line. "
            "programmatic: for programs, as FastChat's. Default: %(default)s.",
        )
        parser.add_argument(
            "--multiline",
            action="store_true",
            help="Enter begins a new line. simple: Ctrl-D or a dot on a line of its own sends; rich: Esc Enter.",
        )
        parser.add_argument("--mouse", action="store_true", help="rich: place the cursor with the mouse.")
        parser.add_argument(
            "--no-history",
            action="store_true",
            help="Every message is a talk of its own, as if after !!reset.",
        )
        parser.add_argument("--debug", action="store_true", help="After each answer say how fast it was.")
        add_sampling_options(parser)
        add_engine_options(parser, adapters=False)

    def handle(self, *args: object, style: str, **options: Any) -> None:
        streams = _make_tolerant(sys.stdin), _make_tolerant(sys.stdout)
        interactive = style != "programmatic" and all(stream.isatty() for stream in streams)
        try:
            with _partner(options) as partner:
                self._talk(partner, style, options, interactive=interactive)
        except (CannotChoose, SourceAway) as error:
            raise CommandError(str(error)) from None

    def _talk(self, partner: Partner, style: str, options: dict[str, Any], *, interactive: bool) -> None:
        manner = defaults.manner(partner.name, with_catalog=partner.in_catalog, **sampling_of(options))
        session = Session(
            chat_model=partner.name,
            talk=Talk(manner.system),
            sampling=manner.sampling,
            style=_style(style, partner.name, options, interactive=interactive),
            interactive=interactive,
            source=partner.source,
            remembers=not options["no_history"],
            tells_speed=options["debug"],
        )
        if interactive:
            self.stderr.write(
                f"Talking to {partner.name}. !!help lists the commands, Ctrl-D leaves.", lambda text: text
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


def _add_partner_options(parser: CommandParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="Load these weights here, without any server: GGUF file, folder or hub name.",
    )
    where.add_argument(
        "--remote",
        metavar="URL",
        help="An OpenAI-compatible server, for example https://chat.example/v1. The key comes from CHATSITE_API_KEY or "
        "OPENAI_API_KEY.",
    )
    parser.add_argument("--engine", help="With --checkpoint: llama_cpp, transformers or scripted.")
    parser.add_argument("--template", default="", metavar="FORMAT", help="With --checkpoint: prompt format.")
    parser.add_argument(
        "--context", type=int, default=0, metavar="TOKENS", help="With --checkpoint: context length."
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="With --checkpoint: CPU threads.")
    parser.add_argument(
        "--gpu-layers", type=int, default=-1, metavar="N", help="With --checkpoint: layers on the GPU."
    )


@contextmanager
def _partner(options: dict[str, Any]) -> Iterator[Partner]:
    if options["checkpoint"] is not None or options["engine"] == "scripted":
        with _loaded(options) as partner:
            yield partner
    elif options["remote"]:
        remote = Remote(options["remote"], key_of_environment())
        try:
            yield Partner(choose_among(options["model"], remote.models()), remote, in_catalog=False)
        finally:
            remote.close()
    else:
        name = choose(defaults.real_name(options["model"]), known=defaults.known_names())
        yield Partner(name, Workers(), in_catalog=True)


@contextmanager
def _loaded(options: dict[str, Any]) -> Iterator[Partner]:
    # Here, so that the other two ways load no engine.
    from workers.engines.base import EngineError
    from workers.library import load_model

    try:
        model = load_model(
            options["checkpoint"] or "",
            engine=options["engine"] or "",
            name=options["model"] or "",
            template=options["template"],
            context_length=options["context"],
            threads=options["threads"],
            gpu_layers=options["gpu_layers"],
            **engine_options(options),
        )
    except EngineError as error:
        raise CommandError(str(error)) from None
    with model:
        yield Partner(model.hosted.name, InProcess(model), in_catalog=options["model"] is not None)


def _style(style: str, name: str, options: dict[str, Any], *, interactive: bool) -> Style:
    if style == "programmatic":
        return ProgrammaticStyle(sys.stdin, sys.stdout, sys.stderr)
    if not interactive:
        return PlainStyle(sys.stdin, sys.stdout, sys.stderr)
    if style == "rich":
        words = [command.split()[0] for command in COMMANDS]
        return RichStyle(name, words, multiline=options["multiline"], mouse=options["mouse"])
    return SimpleStyle(name, multiline=options["multiline"])


def _make_tolerant(stream: TextIO) -> TextIO:
    """A byte or a character that the terminal's encoding does not have becomes a question mark, not an error."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="replace")
    return stream
