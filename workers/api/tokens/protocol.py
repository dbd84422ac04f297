"""The wire of `/v1/tokenize` and `/v1/detokenize` (shapes as vLLM's), and of FastChat's `/api/v1/token_check`."""

from typing import Any, Final

from workers.api.chat import messages, tools
from workers.api.completions.protocol import read_inputs
from workers.api.errors import InvalidParameter
from workers.api.fields import LONGEST_MODEL, Fields, Whole, items, text
from workers.protocol import DetokenizeRequest, Tokenized, TokenizeRequest

MOST_CHECKED: Final = 128
"""Prompts in one `token_check`."""
MOST_TOKENS: Final = 2**20
"""In one `detokenize`."""
WANTED: Final[Whole] = {"minimum": 0, "maximum": 2**31 - 1}
TOKENIZE: Final = frozenset(
    {"model", "prompt", "messages", "tools", "add_special_tokens", "return_token_strs"}
)
DETOKENIZE: Final = frozenset({"model", "tokens"})
CHECK: Final = frozenset({"prompts"})


def parse_tokenize(body: dict[str, Any], request_id: str, deadline: float) -> TokenizeRequest:
    fields = Fields(body)
    fields.refuse_unknown(TOKENIZE)
    if (fields.get("prompt") is None) == (fields.get("messages") is None):
        raise InvalidParameter("prompt", "or 'messages' is required, and not both.")
    fields.boolean("return_token_strs")
    messages_given = fields.get("messages") is not None
    return TokenizeRequest(
        id=request_id,
        chat_model=model_of(fields),
        deadline=deadline,
        prompt=fields.text("prompt"),
        messages=messages.read(fields.get("messages")) if messages_given else (),
        tools=tools.read(fields).tools,
        add_special_tokens=fields.boolean("add_special_tokens", default=True),
    )


def parse_detokenize(body: dict[str, Any], request_id: str, deadline: float) -> DetokenizeRequest:
    fields = Fields(body)
    fields.refuse_unknown(DETOKENIZE)
    value = fields.required("tokens")
    if value == []:
        tokens: tuple[int, ...] = ()
    else:
        (found,) = read_inputs(items(value, "tokens", most=MOST_TOKENS), "tokens", most=1)
        if isinstance(found, str):
            raise InvalidParameter("tokens", "must be a list of token ids.", code="invalid_type")
        tokens = found
    return DetokenizeRequest(request_id, model_of(fields), tokens, deadline)


def model_of(fields: Fields) -> str:
    return text(fields.required("model"), "model", longest=LONGEST_MODEL)


def tokens_object(found: Tokenized, context_length: int, *, strings: bool) -> dict[str, Any]:
    values = {
        "count": len(found.tokens),
        "max_model_len": context_length,
        "tokens": list(found.tokens),
    }
    return {**values, "token_strs": list(found.pieces)} if strings else values


def parse_check(body: dict[str, Any]) -> list[tuple[str, str, int]]:
    """FastChat's `{"prompts": [{"model", "prompt", "max_tokens"}]}`: (model, prompt, max_tokens) of each."""
    fields = Fields(body)
    fields.refuse_unknown(CHECK)
    found = []
    listed = items(fields.required("prompts"), "prompts", fewest=1, most=MOST_CHECKED)
    for index, entry in enumerate(listed):
        one = Fields(entry, f"prompts[{index}]")
        one.refuse_unknown({"model", "prompt", "max_tokens"})
        limit = one.integer("max_tokens", **WANTED)
        if limit is None:
            raise InvalidParameter(one.param("max_tokens"), "is required.", code="missing_required_parameter")
        model = text(one.required("model"), one.param("model"), longest=LONGEST_MODEL)
        found.append((model, text(one.required("prompt"), one.param("prompt")), limit))
    return found
