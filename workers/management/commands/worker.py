"""A model worker: hosts chat models and answers the requests for them."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from workers.engines.base import EngineError
from workers.engines.registry import FACTORIES, EngineSpec


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
            required=True,
            metavar="NAME",
            help="Chat model to host; may be given again.",
        )
        parser.add_argument(
            "--engine", choices=sorted(FACTORIES), help="Default: the catalog's, or llama_cpp."
        )
        parser.add_argument(
            "--checkpoint",
            metavar="PATH",
            help="GGUF file, package:FILE, or the scripted engine's script; one --model.",
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
            "--name", default="", help="The worker's own name; must be unique among running workers."
        )

    def handle(self, *args: object, name: str, **options: Any) -> None:
        # Here, so that `manage.py help` and the web load no engine host.
        from workers.lifecycle import run_worker

        try:
            run_worker([self._spec(model, options) for model in options["model"]], name=name)
        except EngineError as error:
            raise CommandError(str(error)) from error

    def _spec(self, model: str, options: dict[str, Any]) -> EngineSpec:
        known = {"engine": "llama_cpp", "checkpoint": options["checkpoint"] or ""}
        # The scripted engine needs no script, so --engine scripted alone says everything.
        if options["checkpoint"] is None and options["engine"] != "scripted":
            known = self._from_catalog(model)
        elif len(options["model"]) > 1:
            raise CommandError(
                "--checkpoint goes with one --model. Start a worker for each, or use the catalog."
            )
        given = {
            "engine": options["engine"],
            "slots": options["slots"],
            "context_length": options["context"],
            "threads": options["threads"],
            "gpu_layers": options["gpu_layers"],
        }
        for option in ("slots", "context"):
            if options[option] is not None and options[option] < 1:
                raise CommandError(f"--{option} must be at least 1, not {options[option]}.")
        return EngineSpec(
            name=model, **{**known, **{key: value for key, value in given.items() if value is not None}}
        )

    def _from_catalog(self, model: str) -> dict[str, Any]:
        from workers.selectors import catalog

        found = catalog.find(name=model)
        if found is None:
            raise CommandError(
                f"The catalog has no chat model {model!r}. Add it in the admin, or say what to load with --checkpoint."
            )
        return {
            "engine": found.engine,
            "checkpoint": found.checkpoint,
            "slots": found.slots,
            "context_length": found.context_length,
        }
