"""The options of `bin/up` and `manage.py up`, defined once. Standard library only: `bin/up` runs before anything
is installed.

Every option has an environment variable. `bin/up` hands its options on as those, so `manage.py up` sees one truth.
"""

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TRUE_WORDS = ("true", "1", "yes", "on")
FALSE_WORDS = ("", "false", "0", "no", "off")

EXAMPLES = """\
examples:
  bin/up                                      everything, on http://127.0.0.1:8000
  bin/up --port 8080 --data ~/chatsite        another port, another data directory
  bin/up --model smollm2-135m-instruct --workers 2
                                              two processes answer for this chat model
  bin/up --demo                               a second chat model as well, for battles in the arena
  bin/up --no-model                           the site alone; workers run on other machines

other environment variables (docs and `manage.py check` say more):
  CHATSITE_ALLOWED_HOSTS    names the site is reached by, e.g. chat.example,localhost
  CHATSITE_HTTPS            true behind a proxy that ends TLS; CHATSITE_TRUSTED_PROXIES says how many there are
  CHATSITE_SIGNUP           false: only an administrator makes accounts
  CHATSITE_EMAIL_URL        e.g. smtps://user:password@mail.example:465; without it mail goes to DATA/mail
  DATABASE_URL              e.g. postgresql://user:password@db.example:5432/chatsite; without it SQLite in DATA
  REDIS_URL                 e.g. redis://redis.example:6379/0; without it an own Valkey, in DATA, on a unix socket
  NO_COLOR                  no colours in the console

Ctrl-C (or SIGTERM) stops everything, model workers first. Logs are in DATA/log.
"""


class OptionError(ValueError):
    """An option or its environment variable cannot be used. The text is the sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to start. `None` and () mean: not said."""

    host: str | None = None
    port: int | None = None
    data: Path | None = None
    models: tuple[str, ...] = ()
    no_model: bool = False
    no_training: bool = False
    demo: bool = False
    workers: int | None = None
    idle_unload: float | None = None
    """Minutes; 0 is never."""

    def to_environment(self) -> dict[str, str]:
        """The variables that say the same; only those that were given."""
        values = {
            "CHATSITE_HOST": self.host,
            "CHATSITE_PORT": None if self.port is None else str(self.port),
            "CHATSITE_DATA": None if self.data is None else str(self.data.expanduser().absolute()),
            "CHATSITE_MODELS": ",".join(self.models) or None,
            "CHATSITE_NO_MODEL": "true" if self.no_model else None,
            "CHATSITE_NO_TRAINING": "true" if self.no_training else None,
            "CHATSITE_DEMO": "true" if self.demo else None,
            "CHATSITE_WORKERS": None if self.workers is None else str(self.workers),
            "CHATSITE_IDLE_UNLOAD": None if self.idle_unload is None else f"{self.idle_unload:g}",
        }
        return {name: value for name, value in values.items() if value is not None}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to `parser`; `from_namespace` reads them back."""
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        help="address to listen on; 0.0.0.0 is every network [CHATSITE_HOST, 127.0.0.1]",
    )
    parser.add_argument(
        "--port",
        type=port_number,
        metavar="N",
        help="port to listen on; 0 takes a free one [CHATSITE_PORT, 8000]",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="where the database, secrets, logs and the broker's files are kept [CHATSITE_DATA, ./var]",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="host this chat model of the catalog here; may be repeated"
        " [CHATSITE_MODELS, comma-separated; those marked 'hosted here']",
    )
    parser.add_argument(
        "--no-model", action="store_true", help="host no chat model on this machine [CHATSITE_NO_MODEL]"
    )
    parser.add_argument(
        "--no-training",
        action="store_true",
        help="take no fine-tuning jobs on this machine; else it does when the extra 'train' is installed"
        " [CHATSITE_NO_TRAINING]",
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="add a second small chat model, Gemma 3 270M (253 MB, Gemma terms), so that the arena has battles"
        " [CHATSITE_DEMO]",
    )
    parser.add_argument(
        "--workers",
        type=worker_count,
        metavar="N",
        help="worker processes for each hosted chat model [CHATSITE_WORKERS, 1]",
    )
    parser.add_argument(
        "--idle-unload",
        type=minutes,
        metavar="MINUTES",
        help="free the memory of a chat model that nobody has asked for so long; the next message has it loaded again,"
        " 0 is never [CHATSITE_IDLE_UNLOAD, 0]",
    )


def from_namespace(given: argparse.Namespace) -> Options:
    if given.no_model and given.model:
        raise OptionError("--no-model and --model contradict each other: give one of them")
    if given.no_model and given.demo:
        raise OptionError("--no-model and --demo contradict each other: give one of them")
    return Options(
        host=given.host,
        port=given.port,
        data=given.data,
        models=tuple(given.model),
        no_model=given.no_model,
        no_training=given.no_training,
        demo=given.demo,
        workers=given.workers,
        idle_unload=given.idle_unload,
    )


def take_data_directory(arguments: Sequence[str]) -> None:
    """Put `--data` of the command line into the environment: settings, which are read before any option, look there."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--data", type=Path)
    given, _ = parser.parse_known_args(arguments)
    os.environ.update(Options(data=given.data).to_environment())


def port_number(text: str) -> int:
    return _whole_number(text, 0, 65535)


def worker_count(text: str) -> int:
    return _whole_number(text, 1, 64)


def minutes(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:  # NaN is not, either
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes of at least 0, for example 30")
    return number


def _whole_number(text: str, low: int, high: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
    return number


def flag(name: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment variable `name` says yes."""
    value = environ.get(name, "").strip().lower()
    if value not in TRUE_WORDS + FALSE_WORDS:
        raise OptionError(
            f"{name}={value!r} is not valid: expected 'true' or 'false', for example {name}=true"
        )
    return value in TRUE_WORDS
