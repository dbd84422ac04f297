"""`manage.py models pull`."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from workers.commands import adding
from workers.commands.common import Say
from workers.models import ChatModel
from workers.pulling import CannotPull, HuggingFace, ModelScope, Pulled, find_offline, pull

HELP = "Fetch a checkpoint from a hub, a mirror or an offline folder, and enter it into the catalog."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "repo", metavar="ORG/NAME", help="As on the hub, for example HuggingFaceTB/SmolLM2-135M-Instruct."
    )
    parser.add_argument("--name", help="The chat model's name (default: the checkpoint's, in lower case).")
    parser.add_argument(
        "--from",
        default="hub",
        dest="source",
        metavar="hub|modelscope|FOLDER",
        help="Hugging Face's hub, ModelScope, or a folder of checkpoints on this machine. Default: %(default)s.",
    )
    parser.add_argument(
        "--mirror", metavar="URL", help="A mirror of the hub (default: HF_ENDPOINT, else huggingface.co)."
    )
    parser.add_argument(
        "--file", default="", metavar="PATTERN", help="Which GGUF file, for example *Q4_K_M.gguf."
    )
    parser.add_argument(
        "--to", metavar="FOLDER", help="Where it goes (default: models/ in the data directory)."
    )
    parser.add_argument("--only-fetch", action="store_true", help="Do not enter it into the catalog.")
    adding.add_settings(parser)


def run(options: dict[str, Any], say: Say) -> None:
    try:
        pulled = _pull(options, say)
    except CannotPull as error:
        raise CommandError(str(error)) from None
    say(f"It is in {pulled.path}.")
    if options["only_fetch"]:
        return
    is_gguf = pulled.path.suffix == ".gguf"
    adding.run(
        {
            **options,
            "name": options["name"] or options["repo"].rpartition("/")[2].lower(),
            "checkpoint": str(pulled.path),
            "engine": options["engine"] or _engine(is_gguf=is_gguf),
            "revision": None,  # it has been chosen, and what is on the disk has none
            "licence": options["licence"] or pulled.licence or None,
        },
        say,
    )


def _pull(options: dict[str, Any], say: Say) -> Pulled:
    repo, source = options["repo"], options["source"]
    if source not in ("hub", "modelscope"):
        return Pulled(_file_in(find_offline(Path(source).expanduser(), repo), options["file"]), "")
    if source == "modelscope":
        hub: HuggingFace | ModelScope = ModelScope(*_address(options["mirror"]))
        token = os.environ.get("MODELSCOPE_API_TOKEN", "")
    else:
        hub = HuggingFace(*_address(options["mirror"] or os.environ.get("HF_ENDPOINT")))
        token = os.environ.get("HF_TOKEN", "")
    folder = Path(options["to"]) if options["to"] else settings.DATA_DIR / "models" / repo.replace("/", "--")
    return pull(
        hub,
        repo,
        folder,
        revision=options["revision"] or "main",  # one of the engine's options
        pattern=options["file"],
        # A token is a password: it is not sent where anybody can read along.
        token=token if hub.endpoint.startswith("https://") else "",
        say=say,
    )


def _address(url: str | None) -> tuple[str, ...]:
    if not url:
        return ()
    if not url.startswith(("https://", "http://")):
        raise CannotPull(f"--mirror: {url!r} is no address; for example https://hf-mirror.example.")
    return (url.rstrip("/"),)


def _file_in(place: Path, pattern: str) -> Path:
    """The GGUF file in a folder where it is the only one, or the one `pattern` picks; else the folder."""
    if place.is_file():
        return place
    found = sorted(place.glob(pattern or "*.gguf"))
    if pattern and len(found) != 1:
        raise CannotPull(f"--file: {len(found)} files in {place} are called {pattern}.")
    return found[0] if len(found) == 1 else place


def _engine(*, is_gguf: bool) -> str | None:
    if is_gguf:
        return ChatModel.Engine.LLAMA_CPP.value
    return next((value for value in ChatModel.Engine.values if value == "transformers"), None)
