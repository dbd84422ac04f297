"""Speed and memory, each against a named peer or limit, in a private stack that is made and removed by the command."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from workers.benchmarks import api, streams, tax
from workers.benchmarks import batch as batch_file
from workers.benchmarks.load import check_loopback
from workers.benchmarks.stack import WorkerBeside, running
from workers.engines.base import EngineError
from workers.engines.registry import EngineSpec, load
from workers.locating import locate
from workers.selectors import catalog

PRIVATE = "CHATSITE_BENCHMARK_DATA"


class Command(BaseCommand):
    help = (
        "Measure this installation. `tax`: the platform beside llama.cpp's own server, on the default model. "
        "`api`: requests a second and latency of its endpoints. "
        "`streams`: how many streams at once hold, on the scripted engine. `memory`: of the idle stack. "
        "`board`: the leaderboard with many votes. "
        "`evaluate`: the time that an evaluation's numbers take, or how busy it keeps an engine. "
        "`train`: what the training recipes learn per second, beside FastChat's and TRL."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        kinds = parser.add_subparsers(dest="kind", required=True)
        platform = kinds.add_parser("tax", help="Tokens/s and first token through /v1 ÷ llama.cpp's server.")
        platform.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 16])
        platform.add_argument(
            "--requests", type=int, default=24, help="Requests a round (default: %(default)s)."
        )
        platform.add_argument(
            "--tokens", type=int, default=64, help="New tokens a request (default: %(default)s)."
        )
        platform.add_argument("--rounds", type=int, default=5, help="Counted rounds (default: %(default)s).")
        many = kinds.add_parser("streams", help="SSE streams and websocket chats at once.")
        many.add_argument("--sse", type=int, default=200)
        many.add_argument("--chats", type=int, default=100)
        many.add_argument("--rate", type=float, default=20.0, help="Tokens a second and stream.")
        many.add_argument("--tokens", type=int, default=300, help="Tokens a stream.")
        many.add_argument("--find-limit", action="store_true", help="Then go up until it breaks.")
        board = kinds.add_parser("board", help="The leaderboard's page and a vote with many votes.")
        board.add_argument("--votes", type=int, default=20_000, help="(default: %(default)s)")
        votes = import_module("arena.benchmarks.ratings")  # by name: nothing below the arena knows it
        votes.add_arguments(kinds.add_parser("ratings", help=votes.HELP))
        training = import_module("training.benchmarks.arguments")  # by name, too
        training.add_arguments(kinds.add_parser("train", help=training.HELP))
        torch_ = kinds.add_parser(
            "engine", help="The transformers engine beside plain ways to run the same weights."
        )
        torch_.add_argument("checkpoint", help="Folder of a small causal checkpoint with safetensors.")
        torch_.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 16])
        torch_.add_argument(
            "--tokens", type=int, default=32, help="New tokens a request (default: %(default)s)."
        )
        torch_.add_argument("--rounds", type=int, default=2, help="(default: %(default)s)")
        torch_.add_argument(
            "--threads", type=int, default=0, help="CPU threads; default: the physical cores."
        )
        torch_.add_argument(
            "--minutes",
            type=float,
            default=6.0,
            help="Begin no further round that would end later (default: %(default)g).",
        )
        torch_.add_argument(
            "--peer-python",
            default=sys.executable,
            metavar="PATH",
            help="Runs `transformers serve`, which needs fastapi and uvicorn (default: this Python).",
        )
        api = kinds.add_parser(
            "api", help="Requests a second and added latency of /v1 beside the bare engine."
        )
        api.add_argument("--requests", type=int, default=100, help="Of each kind (default: %(default)s).")
        api.add_argument(
            "--batch",
            type=int,
            default=64,
            help="Texts a request for the embeddings of the default model; 0: leave that out (default: %(default)s).",
        )
        api.add_argument(
            "--lines",
            type=int,
            default=10_000,
            help="Of the batch file; 0: leave that out (default: %(default)s).",
        )
        api.add_argument("--rounds", type=int, default=3, help="Of the embeddings (default: %(default)s).")
        kinds.add_parser("memory", help="Resident memory of the idle default stack.")

        numbers = kinds.add_parser(
            "evaluate", help="Scores and win rates with intervals, from made-up judgments."
        )
        numbers.add_argument(
            "--judgments", type=int, default=100_000, help="In each mode (default: %(default)s)."
        )
        numbers.add_argument(
            "--rounds", type=int, default=1000, help="Of the bootstrap (default: %(default)s)."
        )
        numbers.add_argument(
            "--answers",
            type=int,
            default=0,
            metavar="QUESTIONS",
            help="Instead: how busy answering so many questions keeps the default model's engine.",
        )
        numbers.add_argument("--tokens", type=int, default=64, help="With --answers: new tokens a turn.")

    def handle(self, *args: object, kind: str, **options: Any) -> None:
        if kind == "ratings":  # arrays alone: no stack, no data
            self._ratings(options)
            return
        if kind == "train":
            self._train(options)
            return
        if kind == "engine":  # weights alone
            self._engine(options)
            return
        if PRIVATE not in os.environ:
            self._in_private_data(sys.argv[1:])
            return
        # As an exception, so that the context managers below stop what they have started.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))
        runs: dict[str, Callable[[dict[str, Any]], bool]] = {
            "tax": self._tax,
            "streams": self._streams,
            "api": self._api,
            "memory": self._memory,
            "board": self._board,
            "evaluate": self._evaluate,
        }
        if not runs[kind](options):
            raise CommandError("A target was missed; see the rows above.")

    def _in_private_data(self, arguments: list[str]) -> None:
        """Run the same command again with a data directory of its own, and pass its exit status on."""
        data = tempfile.mkdtemp(prefix="chatsite-benchmark-")
        environment = {
            **os.environ,
            "CHATSITE_DATA": data,
            PRIVATE: data,
        }
        for name in ("DATABASE_URL", "REDIS_URL"):
            environment.pop(name, None)
        inner = subprocess.Popen(
            [sys.executable, "manage.py", *arguments], cwd=settings.BASE_DIR, env=environment
        )
        # A stop goes to the inner process, whose stack has to end before its directory goes away.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: inner.terminate())
        try:
            status = inner.wait()
        finally:
            shutil.rmtree(data, ignore_errors=True)
        if status:
            sys.exit(status)

    def _tax(self, options: dict[str, Any]) -> bool:
        with running() as stack:
            check_loopback(stack.url)
            hosted = catalog.hosted_here()[0]
            plan = tax.Plan(
                model=hosted.name,
                checkpoint=locate(hosted.checkpoint),
                slots=hosted.slots,
                context=hosted.context_length,
                concurrencies=tuple(options["concurrency"]),
                requests=options["requests"],
                tokens=options["tokens"],
                rounds=options["rounds"],
            )
            return tax.measure(stack, self._key(), plan, self._say)

    def _streams(self, options: dict[str, Any]) -> bool:
        try:
            import websockets  # noqa: F401
        except ImportError as error:
            raise CommandError(
                "This measurement needs the package websockets: bin/up --install-only --extra dev."
            ) from error
        rate, tokens = options["rate"], options["tokens"]
        with running("--no-model") as stack, self._scripted_worker(rate, tokens):
            check_loopback(stack.url)
            key = self._key()
            self._say(
                f"{tokens} tokens a stream at {rate:g} a second; {os.cpu_count()} cores for server and client together."
            )
            self._say(streams.HEADER)
            sse, chats = options["sse"], options["chats"]
            holds = self._row(stack.url, key, sse, chats, options)
            outcome = holds
            while outcome and options["find_limit"] and sse + chats < 2000:
                sse, chats = sse + 100, chats + 50
                outcome = self._row(stack.url, key, sse, chats, options)
            return holds

    def _api(self, options: dict[str, Any]) -> bool:
        batch, requests = max(0, options["batch"]), max(1, options["requests"])
        scripted = load(EngineSpec("scripted-load", "scripted", "reply=Hello"))
        with running(*([] if batch else ["--no-model"])) as stack:
            key = self._key()
            with WorkerBeside(
                "--model", "scripted-load", "--engine", "scripted", "--checkpoint", "reply=Hello"
            ):
                self._say(api.HEADER)
                for row in asyncio.run(api.over_http(stack.url, key, "scripted-load", scripted, requests)):
                    self._say(str(row))
            holds = True
            if lines := max(0, options["lines"]):
                with WorkerBeside(
                    "--model", "scripted-batch", "--engine", "scripted", "--checkpoint", batch_file.SCRIPT
                ):
                    holds = batch_file.measure(stack.url, key, "scripted-batch", lines=lines, say=self._say)
            vectors = not batch or self._embeddings(stack.url, key, batch, max(1, options["rounds"]))
            return holds and vectors

    def _embeddings(self, url: str, key: str, batch: int, rounds: int) -> bool:
        hosted = catalog.hosted_here()[0]
        spec = EngineSpec(
            hosted.name,
            hosted.engine,
            hosted.checkpoint,
            slots=hosted.slots,
            context_length=hosted.context_length,
        )
        engine = load(spec)
        try:
            return api.embedding_share(
                url, key, hosted.name, engine, batch=batch, rounds=rounds, say=self._say
            )
        finally:
            engine.close()

    def _row(self, url: str, key: str, sse: int, chats: int, options: dict[str, Any]) -> bool:
        rate, tokens = options["rate"], options["tokens"]
        outcome = asyncio.run(
            streams.run(
                url, key, "scripted-load", sse=sse, sockets=self._cookies(chats), tokens=tokens, rate=rate
            )
        )
        streams.report_row(f"{sse} SSE + {chats} chats", outcome, self._say)
        return outcome.holds

    def _ratings(self, options: dict[str, Any]) -> None:
        try:
            holds = import_module("arena.benchmarks.ratings").measure(options, self._say)
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not holds:
            raise CommandError("A target was missed; see the rows above.")

    def _train(self, options: dict[str, Any]) -> None:
        try:
            throughput = import_module("training.benchmarks.throughput")
        except ImportError as error:
            raise CommandError(f"This needs bin/up --install-only --extra train ({error}).") from error
        try:
            holds = throughput.measure(options, self._say)
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not holds:
            raise CommandError("A target was missed; see the rows above.")

    def _engine(self, options: dict[str, Any]) -> None:
        from workers.benchmarks import engine
        from workers.engines.cores import usable_cores

        plan = engine.Plan(
            checkpoint=options["checkpoint"],
            concurrencies=tuple(options["concurrency"]),
            tokens=max(2, options["tokens"]),
            rounds=max(1, options["rounds"]),
            threads=options["threads"] or usable_cores(),
            minutes=options["minutes"],
            peer_python=options["peer_python"],
        )
        try:
            holds = engine.measure(plan, self._say)
        except (EngineError, RuntimeError) as error:
            raise CommandError(str(error)) from error
        if not holds:
            raise CommandError("A target was missed; see the rows above.")

    def _memory(self, options: dict[str, Any]) -> bool:
        limit = 1 << 30
        with running() as stack:
            rows = stack.memory_bytes()
        for name, size in rows.items():
            self._say(f"{size / 2**20:>8.1f} MiB  {name}")
        total = sum(rows.values())
        self._say(f"{total / 2**20:>8.1f} MiB  together, {total / limit:.2f} of the limit of 1 GiB")
        return total < limit

    def _board(self, options: dict[str, Any]) -> bool:
        # By name: nothing below the arena knows it.
        measure = import_module("arena.benchmarks.board").measure
        return bool(measure(options["votes"], self._say))

    def _evaluate(self, options: dict[str, Any]) -> bool:
        # By name: the workers know nothing of what is above them.
        if options["answers"] > 0:
            answers = import_module("evaluation.benchmarks.answers")
            with running():
                full: bool = answers.measure(
                    questions=options["answers"], tokens=max(1, options["tokens"]), say=self._say
                )
            return full
        numbers = import_module("evaluation.benchmarks.numbers")
        holds: bool = numbers.measure(
            judgments=max(1, options["judgments"]), rounds=max(1, options["rounds"]), say=self._say
        )
        return holds

    def _scripted_worker(self, rate: float, tokens: int) -> WorkerBeside:
        script = f"rate={rate}&tokens={tokens}&slots=512"
        return WorkerBeside("--model", "scripted-load", "--engine", "scripted", "--checkpoint", script)

    def _key(self) -> str:
        # Here, so that `manage.py help` does not depend on the order of apps.
        from chatsite.accounts.services import api_keys

        owner, _ = self._people().get_or_create(username="benchmark")
        return api_keys.create(owner=owner, name="benchmark")[1]

    def _cookies(self, count: int) -> list[str]:
        """Session cookies of `count` different people."""
        from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
        from django.contrib.sessions.backends.db import SessionStore

        cookies = []
        for number in range(count):
            person, _ = self._people().get_or_create(username=f"visitor{number}")
            session = SessionStore()
            session[SESSION_KEY] = str(person.pk)
            session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
            session[HASH_SESSION_KEY] = person.get_session_auth_hash()
            session.save()
            cookies.append(f"{settings.SESSION_COOKIE_NAME}={session.session_key}")
        return cookies

    def _people(self) -> Any:
        from django.contrib.auth import get_user_model

        return get_user_model().objects

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
