"""A checkpoint's tokenizer with the chat template it is trained and served with.

The checkpoint is a folder in the form of transformers, a GGUF file, `package:NAME/FILE`, or a name that
transformers finds. Needs `bin/up --install-only --extra train`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from training.data.certificate import Ends, key
from training.data.masking import Encoding
from training.data.records import BadRow, Message
from training.files import FileProblem
from workers import prompt_formats
from workers.chat_template import BadTemplate, ChatTemplate
from workers.engines.base import EngineError
from workers.locating import locate


@dataclass(frozen=True)
class Speech:
    """How a checkpoint reads and writes."""

    tokenizer: Any
    """Of transformers; its own chat template is not used, `template` is."""
    template: ChatTemplate
    ends: Ends

    def tokenize(self, text: str) -> Encoding:
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return Encoding(encoded["input_ids"], encoded["offset_mapping"])

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    @cached_property
    def key(self) -> str:
        """Of the certificate."""
        return key(self.tokenizer.backend_tokenizer.to_str(), self.template.source, self.ends)

    @property
    def pad(self) -> int:
        """The token that fills rows; no loss and no attention ever touches it."""
        for found in (self.tokenizer.pad_token_id, self.tokenizer.unk_token_id, self.tokenizer.eos_token_id):
            if found is not None:
                return int(found)
        return 0


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Messages → their tokens with the template. A value: other processes load the tokenizer for themselves."""

    checkpoint: str
    template: str = ""

    def __call__(self, messages: Sequence[Message]) -> int:
        speech = load(self.checkpoint, self.template)
        try:
            text = speech.template.render(
                [message.as_dict() for message in messages], add_generation_prompt=False
            )
        except BadTemplate as error:
            raise BadRow("template", str(error)) from None
        return len(speech.tokenizer(text, add_special_tokens=False)["input_ids"])


@cache
def load(checkpoint: str, template: str = "") -> Speech:
    """The tokenizer of `checkpoint` with the prompt format `template` (a name or file), else with its own template.

    Raises `FileProblem`.
    """
    tokenizer = _tokenizer(checkpoint)
    if not getattr(tokenizer, "is_fast", False):
        raise FileProblem(
            f"The tokenizer of {checkpoint} cannot say which characters a token stands for, which the loss mask "
            "needs. Convert it to a tokenizer.json."
        )
    source, stops, stop_ids = _template(tokenizer, checkpoint, template)
    variables = {
        name: getattr(tokenizer, name) or "" for name in ("bos_token", "eos_token", "unk_token", "pad_token")
    }
    try:
        compiled = ChatTemplate(source, name=template or checkpoint, variables=variables)
    except BadTemplate as error:
        raise FileProblem(str(error)) from None
    ids = {tokenizer.eos_token_id, *_generation_ends(checkpoint), *stop_ids}
    ends = Ends(frozenset(int(found) for found in ids if found is not None), stops)
    return Speech(tokenizer, compiled, ends)


def gguf_file(checkpoint: str) -> Path | None:
    """The GGUF file behind a name, or None when it is none."""
    if not checkpoint.endswith(".gguf"):
        return None
    try:
        path = locate(checkpoint)
    except EngineError as error:
        raise FileProblem(str(error)) from None
    if not path.is_file():
        raise FileProblem(f"There is no file {path}.")
    return path


def _tokenizer(checkpoint: str) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise FileProblem("This needs transformers: bin/up --install-only --extra train.") from None
    path = gguf_file(checkpoint)
    where, more = (str(path.parent), {"gguf_file": path.name}) if path else (checkpoint, {})
    try:
        return AutoTokenizer.from_pretrained(where, **more)
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FileProblem(f"No tokenizer could be loaded from {checkpoint}: {reason}") from None


def _template(tokenizer: Any, checkpoint: str, name: str) -> tuple[str, tuple[str, ...], tuple[int, ...]]:
    """The source, and the strings and tokens that end an answer."""
    if name:
        try:
            chosen = prompt_formats.load(name)
        except (prompt_formats.UnknownFormat, BadTemplate) as error:
            raise FileProblem(str(error)) from None
        return chosen.source, chosen.stop, chosen.stop_token_ids
    if isinstance(tokenizer.chat_template, str):
        return tokenizer.chat_template, (), ()
    chosen = prompt_formats.choose(checkpoint).format
    return chosen.source, chosen.stop, chosen.stop_token_ids


def _generation_ends(checkpoint: str) -> list[int]:
    """What a checkpoint's generation_config.json names as its ends."""
    path = Path(checkpoint, "generation_config.json")
    if not path.is_file():
        return []
    from transformers import GenerationConfig

    found = GenerationConfig.from_pretrained(checkpoint).eos_token_id
    return list(found) if isinstance(found, list) else [found] if found is not None else []
