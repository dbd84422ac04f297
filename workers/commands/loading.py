"""`manage.py models load`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from workers.commands import ordering
from workers.commands.common import Say
from workers.connections import UNREACHABLE
from workers.services import hosting

HELP = "Load a chat model into a worker that runs, beside what it serves, and wait until it answers."


def add_arguments(parser: ArgumentParser) -> None:
    ordering.add_arguments(parser)
    parser.add_argument("--worker", metavar="WORKER", help="Default: the one that suits best.")


def run(options: dict[str, Any], say: Say) -> None:
    try:
        order_id = hosting.load(options["name"], worker=options["worker"])
    except hosting.CannotHost as error:
        raise CommandError(str(error)) from None
    except UNREACHABLE:
        raise CommandError(ordering.BROKER_AWAY) from None
    ordering.wait(order_id, say, timeout=options["timeout"])
