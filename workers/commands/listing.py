"""`manage.py models list`."""

from argparse import ArgumentParser
from typing import Any

from workers.commands.common import Say, fleet_now, table
from workers.models import ChatModel
from workers.selectors.fleet import Fleet, State

HELP = "All chat models, and whether workers serve them."
ROW = ("NAME", "STATE", "WORKERS", "SLOTS", "ENGINE", "PUBLISHED", "HOSTED HERE", "DESCRIPTION")


def add_arguments(parser: ArgumentParser) -> None:
    """None."""


def run(options: dict[str, Any], say: Say) -> None:
    now = fleet_now()
    rows = [_row(chat_model, now) for chat_model in ChatModel.objects.all()]
    known = {row[0] for row in rows}
    for name in now.chat_model_names():
        if name not in known and now.hosts(name):
            view = now.chat_model(name)
            rows.append((name, view.state, str(view.workers), str(view.slots), "", "not yet", "", ""))
    if not rows:
        say("The catalog is empty. `manage.py models add NAME --checkpoint FILE.gguf` fills it.")
        return
    for line in table([ROW, *rows]):
        say(line)


def _row(chat_model: ChatModel, now: Fleet) -> tuple[str, ...]:
    view = now.chat_model(chat_model.name)
    return (
        chat_model.name,
        view.state,
        str(view.workers),
        str(view.slots if view.state is State.READY else chat_model.slots),
        chat_model.engine,
        "yes" if chat_model.published else "no",
        "yes" if chat_model.hosted_here else "no",
        chat_model.description,
    )
