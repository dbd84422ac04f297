"""One message to a chat model, to see that it answers and how fast."""

import sys
from contextlib import closing
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from workers.protocol import Failed
from workers.terminal import defaults
from workers.terminal.asking import Answer, Asking, explain, new_request
from workers.terminal.choosing import CannotChoose, choose
from workers.terminal.options import add_sampling_options, ended_by_signals, sampling_of
from workers.terminal.session import speed
from workers.terminal.sources import BrokerAway
from workers.terminal.styles import harmless
from workers.terminal.talk import Talk


class Command(BaseCommand):
    help = "Send one message to a chat model and print the answer and its speed; exit status 1 when it fails."
    requires_system_checks: list[str] = []  # a worker's machine has no database to check

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", metavar="MODEL", help="The chat model's name.")
        parser.add_argument(
            "text",
            nargs="?",
            default="Tell me a story of about a hundred words.",
            help="Default: %(default)r.",
        )
        add_sampling_options(parser)

    def handle(self, *args: object, model: str, text: str, **options: Any) -> None:
        try:
            name = choose(defaults.real_name(model), known=defaults.known_names())
            answer = self._ask(name, text, options)
        except (CannotChoose, BrokerAway) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            sys.exit(130)
        if isinstance(answer.ending, Failed):
            raise CommandError(explain(answer.ending))
        if not answer.text.strip():
            raise CommandError(f"{name} answered, but with no text ({answer.ending.reason}).")
        self.stdout.write(speed(answer))

    def _ask(self, name: str, text: str, options: dict[str, Any]) -> Answer:
        manner = defaults.manner(name, **sampling_of(options))
        talk = Talk(manner.system)
        talk.say(text)
        asking = Asking(new_request(chat_model=name, messages=talk.prompt(), sampling=manner.sampling))
        with ended_by_signals(), closing(asking.deltas()) as deltas:
            for delta in deltas:
                self.stdout.write(harmless(delta), ending="")
                self.stdout.flush()
        self.stdout.write("")
        assert asking.answer is not None  # the deltas were read to their end
        return asking.answer
