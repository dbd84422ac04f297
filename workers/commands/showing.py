"""`manage.py models show`."""

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from workers.commands.common import Say, facts, find, fleet_now, size
from workers.models import ChatModel
from workers.protocol import HostedModel, WorkerStatus
from workers.selectors.fleet import ChatModelView, Fleet, State

HELP = "One chat model with all its settings, and what each of its workers says of it."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="Name or alias.")


def run(options: dict[str, Any], say: Say) -> None:
    chat_model = find(options["name"])
    now = fleet_now()
    for line in facts(_settings(chat_model, now)):
        say(line)
    for line in _workers(chat_model.name, now):
        say(line)


def _settings(chat_model: ChatModel, now: Fleet) -> dict[str, object]:
    return {
        "name": chat_model.name,
        "other names": ", ".join(alias.name for alias in chat_model.aliases.all()),
        "state": state_in_words(now.chat_model(chat_model.name)),
        "description": chat_model.description,
        "engine": chat_model.engine,
        "checkpoint": chat_model.checkpoint,
        "options": ", ".join(f"{name}={value}" for name, value in chat_model.engine_options.items()),
        "prompt format": chat_model.template or "the checkpoint's own, or what its name asks for",
        "licence": chat_model.licence,
        "slots": chat_model.slots,
        "context": chat_model.context_length or "what the checkpoint was made for",
        "temperature": chat_model.temperature,
        "top-p": chat_model.top_p,
        "system prompt": chat_model.system_prompt,
        "published": "yes" if chat_model.published else "no",
        "hosted here": "yes" if chat_model.hosted_here else "no",
        "conversations": chat_model.conversations.count(),
    }


def _workers(name: str, now: Fleet) -> Iterator[str]:
    for status in now.statuses:
        for hosted in status.models:
            if hosted.name == name:
                yield f"worker {status.worker}: {', '.join(_said(status, hosted))}"


def _said(status: WorkerStatus, hosted: HostedModel) -> Iterator[str]:
    yield f"engine {hosted.engine}"
    yield f"context {hosted.context_length:,} tokens" if hosted.context_length else "context unknown"
    yield f"{hosted.slots} slots"
    if hosted.asleep:
        yield "asleep: the next request has it loaded again"
    elif hosted.draining:
        yield "finishing what runs before it is unloaded"
    if hosted.load_seconds:  # 0 for an adapter over weights that were there
        yield (
            f"loaded in {hosted.load_seconds:.1f} s"
            if hosted.load_seconds >= 0.1
            else "loaded in under 0.1 s"
        )
    if hosted.weights_bytes:
        yield f"weights {size(hosted.weights_bytes)}"
    if hosted.memory_bytes:
        yield f"memory taken by loading {size(hosted.memory_bytes)}"
    yield f"memory of the process {size(status.memory_bytes)}"
    yield f"can {', '.join(hosted.abilities)}"


def state_in_words(view: ChatModelView) -> str:
    if view.state in (State.OFFLINE, State.UNKNOWN):
        return str(view.state)
    return (
        f"{view.state} ({view.workers} worker{'s' if view.workers != 1 else ''}, {view.slots} slots, "
        f"{view.running} running, {view.waiting} waiting)"
    )
