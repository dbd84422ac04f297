"""Embeddings in the OpenAPI document."""

from typing import Final

from workers.api.completions.openapi import inputs
from workers.api.describing import (
    INTEGER,
    MODEL,
    NUMBER,
    STRING,
    Operation,
    any_of,
    array,
    body,
    const,
    define,
    obj,
    one_of,
    ref,
    said,
)
from workers.api.embeddings import protocol

REQUEST: Final = body(
    {
        "model": MODEL,
        "input": inputs(protocol.MOST_INPUTS, shortest=1),
        "dimensions": {"type": "integer", **protocol.DIMENSIONS},
        "encoding_format": one_of(protocol.ENCODINGS, default="float"),
    },
    required=["model", "input"],
    without_effect=protocol.WITHOUT_EFFECT,
)
VECTORS: Final = obj(
    {
        "object": const("list"),
        "model": STRING,
        "data": array(
            obj(
                {
                    "object": const("embedding"),
                    "index": INTEGER,
                    "embedding": any_of(array(NUMBER), said(STRING, "Little-endian float32 in base64.")),
                }
            )
        ),
        "usage": obj({"prompt_tokens": INTEGER, "total_tokens": INTEGER}),
    }
)
define({"EmbeddingsRequest": REQUEST, "Embeddings": VECTORS})
CREATE: Final = Operation(
    id="createEmbedding",
    tag="Embeddings",
    summary="Turn texts into vectors",
    description="Vectors have length 1.",
    body=ref("EmbeddingsRequest"),
    example={"model": "MODEL", "input": ["A river in Spain", "Un río en España"]},
    answer=ref("Embeddings"),
    works=True,
    code={
        "python": """\
from openai import OpenAI

client = OpenAI(base_url="BASE_URL/v1", api_key="KEY")
found = client.embeddings.create(model="MODEL", input=["A river in Spain", "Un río en España"])
first, second = (entry.embedding for entry in found.data)
print(sum(a * b for a, b in zip(first, second)))  # the cosine: vectors have length 1
""",
        "node": """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "BASE_URL/v1", apiKey: "KEY" });
const found = await client.embeddings.create({
  model: "MODEL",
  input: ["A river in Spain", "Un río en España"],
});
const [first, second] = found.data.map((entry) => entry.embedding);
console.log(first.reduce((sum, value, index) => sum + value * second[index], 0));
""",
    },
)
