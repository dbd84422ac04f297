"""What lies in a checkpoint's folder or file, as far as it can be told without any heavy library. Pure."""

import json
from pathlib import Path
from typing import Any

from workers import gguf
from workers.chat_template import ChatTemplate

SPECIAL_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


class BadCheckpoint(ValueError):  # noqa: N818 - reads as what happened
    """A file of the checkpoint cannot be read. One sentence that names it."""


def own_template(path: Path) -> ChatTemplate | None:
    """The chat template that the checkpoint brings; None when it brings none, or is not here.

    Raises `BadCheckpoint`, and `BadTemplate` for one that is broken.
    """
    if path.is_file() and path.suffix == ".gguf":
        return _of_gguf(path)
    return _of_folder(path) if path.is_dir() else None


def base_of(folder: Path) -> str:
    """What an adapter's folder says it was made for; "" when it is no adapter's. Raises `BadCheckpoint`."""
    return str(read_json(folder / "adapter_config.json").get("base_model_name_or_path") or "")


def _of_gguf(path: Path) -> ChatTemplate | None:
    try:
        header = gguf.read_header(path)
    except (gguf.NotGguf, OSError) as error:
        raise BadCheckpoint(str(error)) from None
    if not header.chat_template:
        return None
    tokens = {f"{kind}_token": header.token(kind) for kind in ("bos", "eos")}
    return ChatTemplate(header.chat_template, variables=tokens)


def _of_folder(folder: Path) -> ChatTemplate | None:
    """`chat_template.jinja`, or the one in `tokenizer_config.json`, as transformers saves them."""
    config = read_json(folder / "tokenizer_config.json")
    tokens = {name: _text(config[name]) for name in SPECIAL_TOKENS if config.get(name)}
    file = folder / "chat_template.jinja"
    try:
        source = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
    except (OSError, UnicodeDecodeError) as error:
        raise BadCheckpoint(f"{file} cannot be read: {error}.") from None
    if isinstance(source, list):  # several, by name
        named = {str(one.get("name")): one.get("template") for one in source if isinstance(one, dict)}
        source = named.get("default")
    return ChatTemplate(source, variables=tokens) if isinstance(source, str) and source else None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one when there is no such file. Raises `BadCheckpoint`."""
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{path} cannot be read: {error}.") from None
    if not isinstance(data, dict):
        raise BadCheckpoint(f"{path} holds no JSON object.")
    return data


def _text(token: Any) -> str:
    """A special token is a text, or an object that holds it."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)
