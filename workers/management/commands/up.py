"""Start everything: `bin/up` ends here."""

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chatsite.accounts.services import people
from chatsite.settings import env, services
from chatsite.supervisor import options as up_options
from chatsite.supervisor import preparing, stack
from chatsite.supervisor.children import ChildSpec
from chatsite.supervisor.console import Console
from chatsite.supervisor.lock import AlreadyRunning, locked
from chatsite.supervisor.supervisor import Supervisor
from workers.services import demo, starting

REFUSALS = (
    up_options.OptionError,
    preparing.CannotStart,
    stack.CannotListen,
    starting.CannotHost,
    people.UsernameTaken,
    AlreadyRunning,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The options, with their environment variables and defaults filled in."""

    host: str
    port: int
    models: tuple[str, ...]
    no_model: bool
    train: bool
    demo: bool
    workers: int
    idle_unload: float | None
    """Minutes; None is what the settings say."""


class Command(BaseCommand):
    help = "Prepare the data directory, then start and watch everything that the site consists of."
    requires_system_checks = ["*"]

    def add_arguments(self, parser: CommandParser) -> None:
        up_options.add_options(parser)

    def handle(self, *args: object, **options: Any) -> None:
        console = Console()
        try:
            status = self._up(_choice(options), console)
        except REFUSALS as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("stopped before anything was started") from None
        if status:
            sys.exit(status)

    def _up(self, choice: Choice, console: Console) -> int:
        os.umask(0o077)  # what the site writes is its owner's alone
        preparing.make_folders(settings.DATA_DIR)
        with locked(
            settings.DATA_DIR, on_wait=lambda: console.step("Waiting for what a killed start left")
        ) as lock:
            listener, address = stack.listen(choice.host, choice.port)
            with listener:
                chat_models = _prepare(choice, console)
                return _run(choice, chat_models, listener, address, console, lock)


def _choice(given: dict[str, Any]) -> Choice:
    """Raises `ImproperlyConfigured` or `OptionError` with one sentence."""
    if given["data"] and given["data"].expanduser().resolve() != settings.DATA_DIR:
        # `manage.py` has set the variable; whoever calls the command from Python must do it before Django's settings.
        raise up_options.OptionError(
            f"the data directory is {settings.DATA_DIR} already: set CHATSITE_DATA={given['data']}"
        )
    no_model = given["no_model"] or env.boolean("CHATSITE_NO_MODEL", default=False)
    models = tuple(given["model"] or env.words("CHATSITE_MODELS"))
    if given["no_model"] and given["model"]:
        raise up_options.OptionError("--no-model and --model contradict each other: give one of them")
    port = env.integer("CHATSITE_PORT", 8000, minimum=0, maximum=65535)
    workers = env.integer("CHATSITE_WORKERS", 1, minimum=1, maximum=64)
    return Choice(
        host=given["host"] or env.text("CHATSITE_HOST", "127.0.0.1"),
        port=port if given["port"] is None else given["port"],
        models=models,
        no_model=no_model and not given["model"],
        train=not (given["no_training"] or env.boolean("CHATSITE_NO_TRAINING", default=False))
        and stack.can_train(),
        demo=given["demo"] or env.boolean("CHATSITE_DEMO", default=False),
        workers=workers if given["workers"] is None else given["workers"],
        idle_unload=given["idle_unload"],
    )


def _prepare(choice: Choice, console: Console) -> list[str]:
    """Everything before the first child; the names of the chat models to host."""
    if applied := preparing.migrate():
        console.step(f"Database prepared ({applied} migrations)")
    if not settings.EMBEDDED_BROKER:
        preparing.check_broker()
    if preparing.collect_static():
        console.step("Static files collected")
    if not choice.no_model and (added := starting.add_default_chat_model()):
        console.step(f"Chat model {added.name} added to the catalog")
    if choice.demo and not choice.no_model and (added := demo.add_demo_chat_model(settings.DATA_DIR)):
        console.step(f"Chat model {added.name} added to the catalog, for battles in the arena")
        console.step(f"It is used under the Gemma terms: {demo.TERMS}")
    password = people.ensure_administrator()
    if password:
        console.headline(f"First administrator: admin   password: {password}")
        console.step("The password is shown this once; change it on the settings page")
    if choice.no_model:
        return []
    hosted = [chat_model.name for chat_model in starting.chat_models_to_host(names=choice.models)]
    if not hosted:
        console.notice("No chat model is marked as hosted here: workers on other machines must answer")
    return hosted


def _run(
    choice: Choice,
    chat_models: list[str],
    listener: socket.socket,
    address: stack.Address,
    console: Console,
    lock: int,
) -> int:
    children = _children(choice, chat_models, listener)
    console.step(f"Starting {', '.join(child.name for child in children)}")

    def on_ready() -> None:
        console.headline(f"Ready: {address.url}")
        if not address.loopback and not settings.DEBUG:
            hosts = ", ".join(settings.ALLOWED_HOSTS)
            console.step(f"It answers to the names {hosts} (CHATSITE_ALLOWED_HOSTS)")
        console.step(f"Data and logs: {settings.DATA_DIR}. Ctrl-C stops everything")

    # Without a chat model here the site is up when it answers at all: its workers are another machine's business.
    probe = stack.HttpProbe(
        f"{address.url}/{'readyz' if chat_models else 'healthz'}", stack.probe_host(settings.ALLOWED_HOSTS)
    )
    supervisor = Supervisor(
        children,
        log_folder=settings.DATA_DIR / "log",
        console=console,
        probe=probe,
        on_ready=on_ready,
        kept_open=(lock,),
    )
    status = supervisor.run()
    console.step("Stopped")
    return status


def _children(choice: Choice, chat_models: list[str], listener: socket.socket) -> list[ChildSpec]:
    root: Path = settings.BASE_DIR
    children = []
    if settings.EMBEDDED_BROKER:
        unix_socket = services.embedded_socket(settings.DATA_DIR)
        children.append(stack.broker(unix_socket=unix_socket, folder=settings.DATA_DIR / "valkey"))
    children += [stack.control(root=root, train=choice.train), stack.web(listener=listener, root=root)]
    children += stack.model_workers(
        root=root, chat_models=chat_models, processes=choice.workers, idle_unload=choice.idle_unload
    )
    return children
