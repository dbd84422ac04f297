"""Replies held to JSON, a grammar or a regular expression, token by token (package `llguidance`, where installed)."""

import json
from typing import Any

import numpy as np
import torch

from workers.engines.base import RefusedError
from workers.protocol import Ability, Constraint

# Free white space is a loop that a weak model does not leave until its tokens are used up.
COMPACT: dict[str, Any] = {"overrides": {"whitespace_flexible": False}}
ABILITIES = (Ability.JSON_OBJECT, Ability.JSON_SCHEMA, Ability.GRAMMAR, Ability.REGEX)


class Guide:
    """Knows the tokens of one checkpoint; makes a `Held` for each reply."""

    def __init__(self, tokens: Any):
        self._tokens = tokens

    def held_to(self, constraint: Constraint) -> "Held":
        """Raises `RefusedError` for a schema, grammar or expression that cannot be followed."""
        import llguidance

        matcher = llguidance.LLMatcher(self._tokens, _grammar(constraint))
        if matcher.is_error():
            cause = str(matcher.get_error()).strip().splitlines()[0][:200]
            raise RefusedError(f"The {constraint.kind} cannot be followed: {cause}", "response_format")
        return Held(matcher)


class Held:
    """Where one reply stands in its grammar."""

    def __init__(self, matcher: Any):
        self._matcher = matcher

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits (vocabulary,) with -inf for every token that may not come next."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        allowed = torch.from_numpy(np.unpackbits(bits, bitorder="little").astype(bool))
        if len(allowed) < len(logits):  # a model may have more logits than its tokenizer has tokens
            allowed = torch.cat([allowed, torch.zeros(len(logits) - len(allowed), dtype=torch.bool)])
        return logits.masked_fill(~allowed[: len(logits)].to(logits.device), -torch.inf)

    def accept(self, token: int) -> None:
        self._matcher.consume_token(token)


def guide(tokenizer: Any, ends: frozenset[int], vocabulary: int) -> Guide | None:
    """None where the package is missing or the tokenizer is not of the kind that it reads.

    `vocabulary`: how many logits the model has.
    """
    try:
        import llguidance.hf
    except ImportError:
        return None
    try:
        return Guide(
            llguidance.hf.from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=sorted(ends) or None)
        )
    except Exception:  # a tokenizer written in Python, or one with a decoder that it does not know
        return None


def _grammar(constraint: Constraint) -> str:
    import llguidance
    from llguidance.gbnf_to_lark import any_to_lark

    match constraint.kind:
        case "json_object":
            return str(llguidance.LLMatcher.grammar_from_json_schema({"type": "object"}, **COMPACT))
        case "json_schema":
            try:
                schema = json.loads(constraint.value)
            except ValueError:
                raise RefusedError("The JSON schema is not JSON.", "response_format") from None
            return str(llguidance.LLMatcher.grammar_from_json_schema(schema, **COMPACT))
        case "regex":
            return str(llguidance.LLMatcher.grammar_from_regex(constraint.value))
        case _:
            try:
                return str(llguidance.LLMatcher.grammar_from_lark(any_to_lark(constraint.value)))
            except Exception:
                raise RefusedError("The grammar is not in llama.cpp's GBNF.", "response_format") from None
