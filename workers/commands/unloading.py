"""`manage.py models unload`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from workers.commands import ordering
from workers.commands.common import Say
from workers.connections import UNREACHABLE
from workers.services import hosting

HELP = "Have workers finish what runs for a chat model and free its memory. What else they serve goes on."


def add_arguments(parser: ArgumentParser) -> None:
    ordering.add_arguments(parser)
    parser.add_argument("--worker", metavar="WORKER", help="Default: every worker that has it.")


def run(options: dict[str, Any], say: Say) -> None:
    try:
        order_ids = hosting.unload(options["name"], worker=options["worker"])
    except hosting.CannotHost as error:
        raise CommandError(str(error)) from None
    except UNREACHABLE:
        raise CommandError(ordering.BROKER_AWAY) from None
    for order_id in order_ids:
        ordering.wait(order_id, say, timeout=options["timeout"])
