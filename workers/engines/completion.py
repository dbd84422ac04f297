"""Weights without a chat template (base models): they get a plain one, and stop strings where the next question would
begin, since they have no token for the end of a turn.
"""

import mmap
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[1] / "chat_templates" / "completion.jinja"
STOPS = ("\nQuestion:", "\n\nQuestion")
# The name of the value in a GGUF file's header; source: the GGUF specification, "Standardized key-value pairs".
KEY = b"tokenizer.chat_template"
# A header holds the vocabulary (6 MB for Gemma's 262,144 pieces); the weights behind it need not be looked through.
LONGEST_HEADER = 64 * 2**20


def needs_template(path: Path) -> bool:
    """Whether the GGUF file brings no chat template of its own. llama.cpp would take one that the weights never saw."""
    with path.open("rb") as file:
        length = min(LONGEST_HEADER, path.stat().st_size)
        with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) as header:
            return header.find(KEY) < 0
