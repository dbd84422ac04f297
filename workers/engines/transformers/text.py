"""From tokens to text, one token at a time, without ever splitting a character; and tokens by their names."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

from workers.protocol import LEAST_LOGPROB, TokenLogprob, TopLogprob

NO_CHARACTER = "\ufffd"
"""What a decoder writes for bytes that are no character."""


class Text(Protocol):
    def feed(self, token: int) -> str: ...


class TokenText:
    """The text of one reply. `feed` returns what a token adds; bytes of an unfinished character wait for the rest.

    Bytes that never become a character are left out, as a browser could not show them either.
    """

    def __init__(self, tokenizer: Any, before: Sequence[int] = ()):
        """`before`: tokens of the reply whose text has been delivered already."""
        self._stream = _stream(tokenizer) or _Window(tokenizer)
        for token in before:
            self._stream.step(token)

    def feed(self, token: int) -> str:
        return self._stream.step(token).replace(NO_CHARACTER, "")


def _stream(tokenizer: Any) -> "_Native | None":
    """The tokenizers library's own decoding stream, where the tokenizer is of that library."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    try:
        return _Native(backend)
    except ImportError:
        return None


class _Native:
    def __init__(self, backend: Any):
        from tokenizers.decoders import DecodeStream

        self._backend = backend
        self._stream = DecodeStream(skip_special_tokens=True)

    def step(self, token: int) -> str:
        return self._stream.step(self._backend, token) or ""


class _Window:
    """For tokenizers written in Python: decodes the last tokens again with each new one."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._begin = self._read = 0

    def step(self, token: int) -> str:
        self._tokens.append(token)
        known = self._decode(self._begin, self._read)
        text = self._decode(self._begin, len(self._tokens))
        if len(text) <= len(known) or text.endswith(NO_CHARACTER):
            return ""
        self._begin, self._read = self._read, len(self._tokens)
        return text[len(known) :]

    def _decode(self, begin: int, end: int) -> str:
        tokens = self._tokens[begin:end]
        return str(
            self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )


class TokenBytes:
    """The bytes and the name of each token, for those who want to see log-probabilities."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        kinds = backend.to_str() if backend is not None else ""
        self._byte_level = '"ByteLevel"' in kinds[-20_000:] or '"ByteLevel"' in kinds[:20_000]
        self._special = set(tokenizer.all_special_ids)

    def bytes(self, token: int) -> bytes:
        """What the token adds to a text, in UTF-8."""
        piece = self._tokenizer.convert_ids_to_tokens(token)
        if piece is None:
            return b""
        if token in self._special:
            return str(piece).encode()
        if self._byte_level and all(letter in BYTE_OF for letter in piece):
            return bytes(BYTE_OF[letter] for letter in piece)
        if found := BYTE_TOKEN.match(piece):
            return bytes([int(found[1], 16)])
        return str(piece).replace(SPACE, " ").encode(errors="replace")

    def text(self, token: int) -> str:
        return self.bytes(token).decode(errors="replace")

    def told(self, token: int, logprob: float, top: Sequence[tuple[int, float]]) -> TokenLogprob:
        """A picked token as the protocol tells it."""
        said = self.bytes(token)
        return TokenLogprob(
            said.decode(errors="replace"),
            max(logprob, LEAST_LOGPROB),
            tuple(said),
            tuple(
                TopLogprob(self.text(t), max(value, LEAST_LOGPROB), tuple(self.bytes(t))) for t, value in top
            ),
        )


SPACE = "\u2581"
"""How sentencepiece writes a blank."""
BYTE_TOKEN = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")
"""How sentencepiece names the byte tokens for characters outside of its vocabulary."""


def _byte_letters() -> dict[str, int]:
    """The letter that stands for each byte in a byte-level vocabulary (source: GPT-2's `bytes_to_unicode`).

    Printable bytes are themselves; the others are the letters from 256 on, in order.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    letters.update({chr(256 + number): byte for number, byte in enumerate(others)})
    return letters


BYTE_OF = _byte_letters()
