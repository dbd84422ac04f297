"""`litellm` over the API: a chat, a stream, a tool and its result, vectors. See README.md here."""

import json
import os
from typing import Any

import litellm

SITE: dict[str, Any] = {
    "api_base": os.environ["OPENAI_BASE_URL"],
    "api_key": os.environ["OPENAI_API_KEY"],
}
MODEL = f"openai/{os.environ['MODEL']}"
HI = "What is the weather in Rome?"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 40}},
            "required": ["city"],
        },
    },
}


def main() -> None:
    messages: list[Any] = [{"role": "user", "content": HI}]
    answer = litellm.completion(MODEL, messages, max_tokens=60, **SITE)
    assert answer.choices[0].message.content
    assert answer.usage.total_tokens > 0
    print(f"chat: {answer.choices[0].message.content!r}")

    pieces = [
        chunk.choices[0].delta.content or ""
        for chunk in litellm.completion(MODEL, messages, max_tokens=60, stream=True, **SITE)
    ]
    assert "".join(pieces), pieces
    print(f"stream: {len(pieces)} pieces")

    asked = litellm.completion(
        MODEL, messages, tools=[WEATHER], tool_choice="required", max_tokens=100, **SITE
    ).choices[0]
    assert asked.finish_reason == "tool_calls"
    (call,) = asked.message.tool_calls
    city = json.loads(call.function.arguments)["city"]
    result = {"role": "tool", "tool_call_id": call.id, "content": f"It is sunny in {city}."}
    last = litellm.completion(MODEL, [*messages, asked.message, result], max_tokens=60, **SITE)
    assert last.choices[0].message.content
    print(f"tool: {city!r}, then {last.choices[0].message.content!r}")

    vectors = litellm.embedding(MODEL, input=["A river in Spain", "A city in Italy"], **SITE).data
    assert len(vectors) == 2
    assert abs(sum(x * x for x in vectors[0]["embedding"]) - 1) < 1e-3
    print(f"embeddings: {len(vectors[0]['embedding'])} numbers each")


main()
