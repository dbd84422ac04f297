"""A true Daphne with the in-process workers, for tests that bring a true client. Run by `conftest.live`.

    python -m tests.workers.api.liveserver FOLDER REDIS_URL

Prints one line of JSON (`port`, `keys`) when it answers and lives until its standard input closes.
`GET /_test/state` tells what a test cannot see from outside, `GET /_test/keep-alive/SECONDS` sets the silence that a
stream bears before a comment; a sixth of it is how long it waits for a status.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

KEEP_ALIVE_AFTER = (
    0.3  # seconds; with the client's read timeout of 3 s a test proves in 4 s what else takes 65
)

SCRIPTS = {
    "parrot": "",
    "org/parrot-1.0": "",
    "silent": "reply=At last&first=4",
    "fails-at-once": "fail_after=0",
    "fails-late": "tokens=10&first=1&fail_after=0",
    "fails-midway": "tokens=10&rate=50&fail_after=3",
    "tiny": "context=8",
    "endless": "tokens=8000&rate=50",
    "recovers": "reply=Back again",
    "thinker": "reply=Yes, of course.&thinks=Hm, let me see.",
    "caller": "calls=1",
}


def main(folder: Path, redis_url: str) -> None:
    os.environ["CHATSITE_DATA"] = str(folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "chatsite.settings.test"

    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = folder / "live.sqlite3"
    settings.REDIS_URL = redis_url

    import django

    django.setup()
    keys = _prepare_database()
    workers = _host_models()

    _keep_alive_after(KEEP_ALIVE_AFTER)
    _serve(keys, workers)


def _keep_alive_after(seconds: float) -> float:
    """What it was before."""
    from workers.api import sse
    from workers.api.chat import serving as chat
    from workers.api.responses import serving as responses

    before, sse.KEEP_ALIVE_AFTER = sse.KEEP_ALIVE_AFTER, seconds
    chat.PATIENCE_FOR_A_STATUS = responses.PATIENCE_FOR_A_STATUS = seconds / 6
    return before


def _prepare_database() -> dict[str, str]:
    from django.core.management import call_command
    from django.db import connection

    from chatsite.accounts.services import api_keys
    from tests.factories import make_chat_model, make_user

    call_command("migrate", verbosity=0)
    for name in [*SCRIPTS, "offline", "busy"]:
        make_chat_model(name)
    make_chat_model("hidden", published=False)
    keys = {}
    for username in ("alice", "bob"):
        _, keys[username] = api_keys.create(owner=make_user(username), name="live")
    connection.close()
    return keys


def _host_models() -> Any:
    from tests.workers.api.observed import ObservedClient
    from workers import client

    client._client = workers = ObservedClient()
    for name, script in SCRIPTS.items():
        workers.host_script(name, script)
    return workers


def _serve(keys: dict[str, str], workers: Any) -> None:
    from chatsite.asgi import application
    from chatsite.webserver import WebServer

    # Behind Daphne, which puts its own reactor in the place of one that is there already.
    from twisted.internet import reactor  # isort: skip

    async def observable(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "") if scope["type"] == "http" else ""
        if path == "/_test/state":
            await _answer(send, workers.observed())
        elif path.startswith("/_test/keep-alive/"):
            await _answer(send, _keep_alive_after(float(path.rpartition("/")[2])))
        else:
            await application(scope, receive, send)

    def announce() -> None:
        print(json.dumps({"port": server.listening_addresses[0][1], "keys": keys}), flush=True)  # noqa: T201

    def stop_with_parent() -> None:
        sys.stdin.read()
        reactor.callFromThread(reactor.stop)  # type: ignore[misc] # the stub takes the module for a class

    server = WebServer(
        observable,
        endpoints=["tcp:port=0:interface=127.0.0.1"],
        ready_callable=announce,
        signal_handlers=False,
    )
    threading.Thread(target=stop_with_parent, daemon=True).start()
    server.run()
    workers.close()


async def _answer(send: Any, content: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
