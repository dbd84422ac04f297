"""From a request's messages to token ids."""

from collections.abc import Sequence
from typing import Any

from workers.chat_template import BadTemplate, ChatTemplate
from workers.engines.base import EngineError
from workers.engines.prompting import format_of
from workers.engines.transformers.rows import Prompt
from workers.protocol import ChatMessage, GenerationRequest

# Tokens that end a turn in one family of chat formats or another. A checkpoint's own list often names only the end
# of the text.
TURN_ENDS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endofturn|>",
    "<|turn_end|>",
    "<|eom_id|>",
)


class Prompts:
    """Knows a checkpoint's tokenizer and its chat template, or the one that it gets where it has none."""

    def __init__(
        self, tokenizer: Any, *, name: str, checkpoint: str, wanted: str = "", seq2seq: bool = False
    ):
        """`wanted`: a prompt format's name or file. Raises `EngineError` for one that cannot write a conversation."""
        self.tokenizer = tokenizer
        self._seq2seq = seq2seq
        own = _own_template(tokenizer)
        self.format = format_of(wanted=wanted, brings_its_own=bool(own), name=name, checkpoint=checkpoint)
        """None is the checkpoint's own."""
        self._special = {
            key: str(value) for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)
        }
        # T5 and its like were taught tasks, not talks: one message is the text itself.
        self._bare = seq2seq and not own and not wanted
        try:
            self._template = ChatTemplate(self.format.source if self.format else own, variables=self._special)
            self._check()
        except BadTemplate as error:
            raise EngineError(
                f"{error} Mend the checkpoint's template, or choose one with --template."
            ) from None

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end a reply beside those of the request."""
        return self.format.stop if self.format else ()

    def read(self, request: GenerationRequest) -> Prompt:
        """Raises `BadTemplate` for a conversation that the template refuses."""
        if request.prompt is not None:
            return self._raw(request.prompt, request.prefix)
        text = self._render(request.messages)
        ids = self._encode(text)
        return Prompt(ids, self._behind(text, ids, request.prefix) if request.prefix else [])

    def ends(self, model: Any) -> frozenset[int]:
        """Tokens that end a reply."""
        found: set[int] = set()
        for named in (
            getattr(model.generation_config, "eos_token_id", None),
            getattr(model.config, "eos_token_id", None),
            self.tokenizer.eos_token_id,
        ):
            found.update(named if isinstance(named, list | tuple) else [] if named is None else [named])
        vocabulary = self.tokenizer.get_vocab()
        found.update(vocabulary[token] for token in TURN_ENDS if token in vocabulary)
        found.update(self.format.stop_token_ids if self.format else ())
        return frozenset(int(token) for token in found)

    def _raw(self, prompt: str | tuple[int, ...], prefix: str) -> Prompt:
        ids = list(self.tokenizer(prompt).input_ids) if isinstance(prompt, str) else list(prompt)
        return Prompt(ids, list(self.tokenizer(prefix, add_special_tokens=False).input_ids) if prefix else [])

    def _behind(self, text: str, ids: list[int], prefix: str) -> list[int]:
        """The tokens of `prefix` as they are when it stands behind the prompt."""
        if self._seq2seq:
            return list(self.tokenizer(prefix, add_special_tokens=False).input_ids)
        joined = self._encode(text + prefix)
        if joined[: len(ids)] == ids:
            return joined[len(ids) :]
        return list(self.tokenizer(prefix, add_special_tokens=False).input_ids)

    def _encode(self, text: str) -> list[int]:
        # A template writes the special tokens itself. One that does not leaves the first one to the tokenizer.
        begins = self._special.get("bos_token")
        adds = self._seq2seq or (self.format is not None and not (begins and text.startswith(begins)))
        return list(self.tokenizer(text, add_special_tokens=adds).input_ids)

    def _render(self, messages: Sequence[ChatMessage]) -> str:
        if self._bare and len(messages) == 1:
            return messages[0].content
        return self._template.render(messages)

    def _check(self) -> None:
        """Whether the simplest conversation can be written."""
        if "Hello" not in self._template.render([ChatMessage("user", "Hello")]):
            raise BadTemplate("The chat template of the checkpoint leaves out what the user says.")


def _own_template(tokenizer: Any) -> str:
    """Empty where there is none. A checkpoint may have several, by name."""
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default") or next(iter(own.values()), "")
    return own or ""
