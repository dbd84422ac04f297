"""The header of a GGUF file: its metadata and the names, shapes and types of its tensors. Pure; reads no weights.

Source: the GGUF specification (version 2 and 3), ggml-org/ggml, docs/gguf.md.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

MAGIC: Final = b"GGUF"
# Value types of the metadata that `struct` reads: number → format.
NUMBERS: Final = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
STRING, ARRAY = 8, 9
# Tensor types that are met in files of chat models: number → (name, values in a block, bytes of a block).
# Source: ggml-org/ggml, gguf-py/gguf/constants.py (GGML_QUANT_SIZES).
TENSOR_TYPES: Final = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    30: ("BF16", 1, 2),
}
# More than any real file has; a damaged one is refused before it fills the memory.
MOST_ENTRIES: Final = 1_000_000


class NotGguf(ValueError):  # noqa: N818 - reads as what happened
    """The file is no GGUF file, or its header is damaged. One sentence."""


class Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]
    type: str

    @property
    def parameters(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """In the file and in memory; 0 for a type this module does not know."""
        for name, values, size in TENSOR_TYPES.values():
            if name == self.type:
                return self.parameters // values * size
        return 0


@dataclass(frozen=True)
class Header:
    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]

    @property
    def chat_template(self) -> str:
        """ "" when the file brings none."""
        return str(self.metadata.get("tokenizer.chat_template", ""))

    def token(self, kind: str) -> str:
        """The text of a special token, for example of `bos`; "" when there is none."""
        number = self.metadata.get(f"tokenizer.ggml.{kind}_token_id")
        tokens = self.metadata.get("tokenizer.ggml.tokens", ())
        return str(tokens[number]) if isinstance(number, int) and 0 <= number < len(tokens) else ""


def read_header(path: Path) -> Header:
    """Raises `NotGguf`, and `OSError` for a file that cannot be opened."""
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise NotGguf(f"{path} is not a GGUF file (it does not begin with the letters GGUF).")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                return _Reader(content).header()
            except (struct.error, IndexError, UnicodeDecodeError, KeyError, OverflowError):
                raise NotGguf(f"{path}: the header of this GGUF file is damaged or cut off.") from None


class _Reader:
    def __init__(self, content: mmap.mmap):
        self._content = content
        self._place = len(MAGIC)

    def header(self) -> Header:
        version = self._number("<I")
        if version not in (2, 3):
            raise KeyError(version)
        tensors, entries = self._count(), self._count()
        metadata = {self._string(): self._value(self._number("<I")) for _ in range(entries)}
        return Header(metadata, tuple(self._tensor() for _ in range(tensors)))

    def _tensor(self) -> Tensor:
        name = self._string()
        shape = tuple(self._number("<Q") for _ in range(self._number("<I")))
        kind = self._number("<I")
        self._number("<Q")  # where its values begin
        return Tensor(name, shape, TENSOR_TYPES.get(kind, (f"type {kind}",))[0])

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            of = self._number("<I")
            return [self._value(of) for _ in range(self._count())]
        return self._number(NUMBERS[kind])

    def _string(self) -> str:
        length = self._number("<Q")
        begin, self._place = self._place, self._place + length
        if self._place > len(self._content):
            raise IndexError
        # A piece of a vocabulary may be half a character.
        return self._content[begin : self._place].decode(errors="replace")

    def _count(self) -> int:
        count = int(self._number("<Q"))
        if count > MOST_ENTRIES:
            raise OverflowError
        return count

    def _number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._content, self._place)
        self._place += struct.calcsize(form)
        return value
