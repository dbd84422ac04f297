"""Tools for checkpoints; see docs/models.md. They need no database, and torch only where they compute."""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.weights import inspecting, publishing
from training.weights.errors import WeightsError

DTYPES = ("float32", "float16", "bfloat16")
KINDS = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")


class Command(BaseCommand):
    help = "Look into checkpoints, convert, quantise and merge them, make and apply deltas, publish them."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="|".join(VERBS))
        for name, (add, text) in _ARGUMENTS.items():
            add(verbs.add_parser(name, help=text, description=text))

    def handle(self, *args: object, verb: str, **options: Any) -> None:
        try:
            VERBS[verb](options, self._say)
        except WeightsError as error:
            raise CommandError(str(error)) from None
        except ImportError as error:
            raise CommandError(
                f"{error.name} is not installed. Try: bin/up --install-only --extra hf"
            ) from None
        except OSError as error:
            raise CommandError(f"{error.filename or 'A file'}: {error.strerror or error}.") from None

    def _say(self, text: str) -> None:
        self.stdout.write(text)


Say = Callable[[str], None]


def _inspect(options: dict[str, Any], say: Say) -> None:
    found = inspecting.inspect(options["path"])
    facts = {
        "kind": found.kind,
        "architecture": found.architecture or "not said",
        "parameters": f"{found.parameters:,} in {found.tensors} tensors",
        "stored": ", ".join(f"{count / found.parameters:.1%} {kind}" for kind, count in found.stored.items()),
        "weights": _size(found.bytes),
        **{f"as {name}": _size(size) for name, size in found.memory().items()},
        "context": f"{found.context_length:,} tokens" if found.context_length else "not said",
        "K/V cache": f"{_size(found.cache_bytes_per_token * 1000)} per 1,000 tokens in 16 bits"
        if found.cache_bytes_per_token
        else "cannot be told",
        "licence": found.licence or "not said",
        "chat template": "its own" if found.has_template else "none",
    }
    for name, value in facts.items():
        say(f"{name:<14} {value}")


def _convert(options: dict[str, Any], say: Say) -> None:
    from training.weights import precision

    precision.convert(options["source"], options["target"], dtype=options["dtype"], say=say)
    say(f"{options['target']} is complete, in {options['dtype']}.")


def _quantize(options: dict[str, Any], say: Say) -> None:
    from training.weights import quantizing

    quantizing.quantize(
        options["source"], options["target"], kind=options["kind"], like=options["like"], say=say
    )
    say(f"{options['target']} is complete: {_size(options['target'].stat().st_size)}.")


def _merge(options: dict[str, Any], say: Say) -> None:
    from training.weights import adapters

    changed = adapters.merge(
        options["base"], options["adapter"], options["target"], dtype=options["dtype"] or "", say=say
    )
    say(f"{options['target']} is complete: the adapter changed {changed} tensors.")


def _make_delta(options: dict[str, Any], say: Say) -> None:
    from training.weights import deltas

    found = deltas.make_delta(
        options["base"], options["target"], options["delta"], exact=options["exact"], say=say
    )
    how = "bit for bit" if found.exact else f"to {found.largest:.1e}; --exact keeps the delta in float32"
    say(f"{options['delta']} is complete. Base and delta give the original back {how}.")


def _apply_delta(options: dict[str, Any], say: Say) -> None:
    from training.weights import deltas

    same = deltas.apply_delta(options["base"], options["delta"], options["target"], say=say)
    words = {True: ", bit for bit the original", False: ", the original up to rounding", None: ""}
    say(f"{options['target']} is complete{words[same]}.")


def _publish(options: dict[str, Any], say: Say) -> None:
    folder: Path = options["folder"]
    repo = options["repo"]
    card = publishing.write_card(
        folder,
        name=repo.rpartition("/")[2],
        licence=options["licence"] or "",
        base=options["base_model"] or "",
        description=options["description"] or "",
        again=options["new_card"],
    )
    if options["card_only"]:
        say(f"{card} is there to be read and corrected; without --card-only the folder is uploaded.")
        return
    publishing.publish(folder, repo=repo, private=not options["public"])
    say(f"{repo} is on the hub{'' if options['public'] else ', for you alone (--public opens it)'}.")


def _add_inspect(parser: ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="PATH", help="GGUF file, or the folder of a checkpoint.")


def _add_convert(parser: ArgumentParser) -> None:
    _add_source_and_target(parser)
    parser.add_argument("--dtype", choices=DTYPES, required=True)


def _add_quantize(parser: ArgumentParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="GGUF file, or the folder of a checkpoint."
    )
    parser.add_argument("target", type=Path, metavar="FILE.gguf")
    parser.add_argument("--kind", choices=KINDS, default="q8_0", help="Default: %(default)s.")
    parser.add_argument(
        "--like",
        type=Path,
        metavar="BASE.gguf",
        help="For a folder: a GGUF file of the same family, for its tokenizer.",
    )


def _add_merge(parser: ArgumentParser) -> None:
    parser.add_argument("base", type=Path, metavar="BASE")
    parser.add_argument("adapter", type=Path, metavar="ADAPTER", help="Folder with adapter_config.json.")
    parser.add_argument("target", type=Path, metavar="TARGET", help="A new folder.")
    parser.add_argument("--dtype", choices=DTYPES, help="Default: the base's.")


def _add_make_delta(parser: ArgumentParser) -> None:
    parser.add_argument("base", type=Path, metavar="BASE")
    parser.add_argument(
        "target", type=Path, metavar="TARGET", help="The checkpoint that must not be passed on whole."
    )
    parser.add_argument("delta", type=Path, metavar="DELTA", help="A new folder.")
    parser.add_argument(
        "--exact", action="store_true", help="In float32, so that the original comes back bit for bit."
    )


def _add_apply_delta(parser: ArgumentParser) -> None:
    parser.add_argument("base", type=Path, metavar="BASE")
    parser.add_argument("delta", type=Path, metavar="DELTA")
    parser.add_argument("target", type=Path, metavar="TARGET", help="A new folder.")


def _add_publish(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--repo", required=True, metavar="ORG/NAME")
    parser.add_argument("--public", action="store_true", help="Everybody may see it; else you alone.")
    parser.add_argument("--licence", metavar="NAME", help="Default: what the folder says.")
    parser.add_argument("--base-model", metavar="NAME", help="What it was made from.")
    parser.add_argument("--description", metavar="TEXT")
    parser.add_argument("--new-card", action="store_true", help="Write the model card anew.")
    parser.add_argument("--card-only", action="store_true", help="Write the model card, and upload nothing.")


def _add_source_and_target(parser: ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("target", type=Path, metavar="TARGET", help="A new folder.")


VERBS: dict[str, Callable[[dict[str, Any], Say], None]] = {
    "inspect": _inspect,
    "convert": _convert,
    "quantize": _quantize,
    "merge": _merge,
    "make-delta": _make_delta,
    "apply-delta": _apply_delta,
    "publish": _publish,
}
_ARGUMENTS: dict[str, tuple[Callable[[ArgumentParser], None], str]] = {
    "inspect": (_add_inspect, "Parameters, memory per precision, context, licence. Reads headers only."),
    "convert": (_add_convert, "Another precision; torch's own files become safetensors."),
    "quantize": (_add_quantize, "A GGUF file for llama.cpp, in fewer bits."),
    "merge": (_add_merge, "Merge a LoRA adapter into its base."),
    "make-delta": (_add_make_delta, "What has to be added to a base to get a checkpoint."),
    "apply-delta": (_add_apply_delta, "Add a delta to its base."),
    "publish": (_add_publish, "Put a checkpoint on a hub, with a model card."),
}


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.1f} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1024
    return f"{count:.2f} GiB"
