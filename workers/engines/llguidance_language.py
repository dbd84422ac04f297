"""Regular expressions for llama.cpp, in the language of llguidance, which it is built with.

llama.cpp says nothing of an expression that it cannot read, and then holds the answer to nothing. So each is read here
first, with the same library (package `llguidance`); where that is missing nothing of the kind is offered.
"""

import importlib.util
import re

from workers.engines.base import RefusedError

FIRST_LINE = "%llguidance"
"""How llama.cpp tells the language from its own."""


def usable() -> bool:
    return importlib.util.find_spec("llguidance") is not None


def of_regex(pattern: str) -> str:
    """Raises `RefusedError` for what is no expression of Rust's `regex`, which llguidance's are."""
    return checked(f"{FIRST_LINE} {{}}\nstart: /{between_slashes(pattern)}/", "regular expression")


def checked(grammar: str, what: str = "grammar") -> str:
    """Itself. Raises `RefusedError` when it cannot be read."""
    if not usable():
        raise RefusedError(
            f"A {what} needs the package llguidance on the worker's machine: pip install llguidance.",
            "response_format",
        )
    from llguidance import LLMatcher

    if trouble := str(LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(grammar))):
        cause = next((line for line in trouble.splitlines() if line.startswith("error:")), trouble)
        raise RefusedError(f"The {what} cannot be read: {cause.splitlines()[0][:200]}", "response_format")
    return grammar


def between_slashes(pattern: str) -> str:
    """The expression as it stands between two slashes, on one line."""
    # What is escaped already stays so: a pair of characters is taken at once.
    escaped = re.sub(r"\\.|/", lambda found: r"\/" if found[0] == "/" else found[0], pattern, flags=re.DOTALL)
    return escaped.replace("\\\n", r"\n").replace("\n", r"\n").replace("\\\r", r"\r").replace("\r", r"\r")
