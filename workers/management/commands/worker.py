"""A model worker: hosts chat models and answers the requests for them."""

import math
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from workers.engine_settings import engine_of, read_options
from workers.engines.base import EngineError
from workers.engines.registry import FACTORIES, EngineSpec
from workers.models import ChatModel
from workers.protocol import MOST_SLOTS
from workers.terminal.engine_options import add_engine_options, engine_options

# Options that mean nothing without a chat model.
OF_A_MODEL = ("engine", "checkpoint", "slots", "context", "launch", "template", "adapters", "lora", "mmproj")


class Command(BaseCommand):
    help = (
        "Start a worker against the same broker. With --checkpoint it needs no database: "
        "`manage.py worker --model my-model --checkpoint model.gguf`. Without, the catalog says what to load: "
        "`manage.py worker --model smollm2-135m-instruct`."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--model",
            action="append",
            default=[],
            metavar="NAME",
            help="Chat model to host; may be given again. Without any, the worker waits until one is loaded into it "
            "(`manage.py models load`, or the admin).",
        )
        parser.add_argument(
            "--engine",
            choices=sorted(FACTORIES),
            help="Default: what --checkpoint looks like, else the catalog's.",
        )
        parser.add_argument(
            "--checkpoint",
            metavar="PATH",
            help="GGUF file, package:FILE, a folder or hub name (transformers), a server's model such as "
            "vllm:Qwen/Qwen3-8B (upstream), or a script (scripted); one --model.",
        )
        parser.add_argument("--slots", type=int, help="Requests at once.")
        parser.add_argument("--context", type=int, help="Context length in tokens, shared by all slots.")
        parser.add_argument(
            "--threads", type=int, default=0, help="CPU threads (default: the physical cores)."
        )
        parser.add_argument(
            "--gpu-layers", type=int, default=-1, help="Layers on the GPU; -1 is as many as fit."
        )
        parser.add_argument(
            "--launch",
            metavar="COMMAND",
            help="Start the upstream engine's server as a child, wait for it, restart and end it: "
            '"vllm serve MODEL --host 127.0.0.1 --port {port}".',
        )
        add_engine_options(parser)
        parser.add_argument(
            "--template",
            metavar="NAME",
            help="Prompt format by name or file (`manage.py models formats` lists them); default: the catalog's, "
            "else the checkpoint's own, else what its name asks for.",
        )
        parser.add_argument(
            "--name", default="", help="The worker's own name; must be unique among running workers."
        )
        parser.add_argument(
            "--idle-unload",
            type=float,
            metavar="MINUTES",
            help="Free the memory of a chat model that nobody has asked for so long; the next request has it loaded "
            "again. 0 is never (default: CHATSITE_IDLE_UNLOAD, or 0).",
        )

    def handle(self, *args: object, name: str, idle_unload: float | None, **options: Any) -> None:
        # Here, so that `manage.py help` and the web load no engine host.
        from workers.lifecycle import run_worker

        if options["model"] and options["engine"] is None and options["checkpoint"] is not None:
            options["engine"] = engine_of(options["checkpoint"])
        self._check(options)
        try:
            specs = [self._spec(model, options) for model in options["model"]]
            run_worker(specs, name=name, idle_seconds=60 * _idle_minutes(idle_unload))
        except EngineError as error:
            raise CommandError(str(error)) from error

    def _check(self, options: dict[str, Any]) -> None:
        for option, least in (("slots", 1), ("context", 1), ("threads", 0), ("gpu_layers", -1)):
            if options[option] is not None and options[option] < least:
                name = option.replace("_", "-")
                raise CommandError(f"--{name} must be at least {least}, not {options[option]}.")
        if options["slots"] is not None and options["slots"] > MOST_SLOTS:
            raise CommandError(f"--slots must be at most {MOST_SLOTS}, not {options['slots']}.")
        for model in options["model"]:
            _check_name(f"--model {model!r}", model)
        if not options["model"] and (
            said := next((name for name in OF_A_MODEL if options[name] is not None), "")
        ):
            raise CommandError(
                f"--{'adapter' if said == 'adapters' else said} goes with --model NAME: say which chat model it is for."
            )
        if options["launch"] is not None and options["engine"] != "upstream":
            raise CommandError("--launch goes with --engine upstream.")
        if len(set(options["model"])) < len(options["model"]):
            raise CommandError(f"--model: {', '.join(options['model'])} names one twice. Say each once.")

    def _spec(self, model: str, options: dict[str, Any]) -> EngineSpec:
        known: dict[str, Any] = {"engine": "llama_cpp", "checkpoint": options["checkpoint"] or ""}
        # The scripted engine needs no script, so --engine scripted alone says everything.
        if options["checkpoint"] is None and options["engine"] != "scripted":
            known = self._from_catalog(model)
        elif len(options["model"]) > 1:
            raise CommandError(
                "--checkpoint goes with one --model. Start a worker for each, or use the catalog."
            )
        engine = options["engine"] or known["engine"]
        # Those of the catalog are of the catalog's engine.
        catalogued = known.pop("engine_options", {}) if engine == known["engine"] else {}
        known.pop("engine_options", None)
        given = {
            **self._engine_options(engine, catalogued, options),
            "engine": engine,
            "slots": options["slots"],
            "context_length": options["context"],
            "threads": options["threads"],
            "gpu_layers": options["gpu_layers"],
            "template": options["template"],
            "launch": options["launch"],
        }
        return EngineSpec(
            name=model, **{**known, **{key: value for key, value in given.items() if value is not None}}
        )

    def _engine_options(self, engine: str, known: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        try:
            given = engine_options(options, engine)
            for name in given.get("adapters", ()):
                _check_name(f"--adapter {name!r}", name)
            return dict(read_options(engine, {**known, **given}))
        except EngineError as error:
            raise CommandError(str(error)) from None

    def _from_catalog(self, model: str) -> dict[str, Any]:
        from workers.selectors import catalog

        try:
            found = catalog.find(name=model)
        except DatabaseError as error:
            raise CommandError(
                f"The catalog cannot be read ({error}). Say what to load with --checkpoint, or set DATABASE_URL "
                "and run `manage.py migrate`."
            ) from error
        if found is None:
            raise CommandError(
                f"The catalog has no chat model {model!r}. Add it in the admin, or say what to load with --checkpoint."
            )
        return {
            "engine": found.engine,
            "checkpoint": found.checkpoint,
            "engine_options": found.engine_options,
            "slots": found.slots,
            "context_length": found.context_length,
            "template": found.template,
        }


def _idle_minutes(given: float | None) -> float:
    minutes: float = settings.IDLE_UNLOAD_MINUTES if given is None else given
    if not (math.isfinite(minutes) and minutes >= 0):
        raise CommandError(f"--idle-unload must be a number of minutes of at least 0, not {minutes:g}.")
    return minutes


def _check_name(option: str, name: str) -> None:
    try:
        ChatModel(name=name).clean_fields(exclude={"slots", "engine"})
    except ValidationError as error:
        raise CommandError(f"{option}: {' '.join(error.messages)}") from None
