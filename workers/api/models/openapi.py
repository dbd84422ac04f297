"""The catalog in the OpenAPI document."""

from typing import Final

from workers.api.describing import (
    INTEGER,
    SECONDS,
    STRING,
    Operation,
    array,
    const,
    define,
    deleted,
    obj,
    one_of,
    ref,
    said,
)

MODEL: Final = obj(
    {
        "id": STRING,
        "object": const("model"),
        "created": SECONDS,
        "owned_by": STRING,
        "status": one_of(["ready", "offline"], description="Whether a request would be answered now."),
        "max_model_len": said(INTEGER, "Its context in tokens, while a worker serves it."),
    },
    required=["id", "object", "created", "owned_by", "status"],
)
define({"Model": MODEL})
TAG: Final = "Models"
LIST: Final = Operation(
    id="listModels",
    tag=TAG,
    summary="List the chat models that your key may use",
    answer=obj({"object": const("list"), "data": array(ref("Model"))}),
    code={
        "python": """\
from openai import OpenAI

client = OpenAI(base_url="BASE_URL/v1", api_key="KEY")
for model in client.models.list():
    print(model.id)
""",
        "node": """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "BASE_URL/v1", apiKey: "KEY" });
for await (const model of client.models.list()) {
  console.log(model.id);
}
""",
    },
)
RETRIEVE: Final = Operation(
    id="retrieveModel",
    tag=TAG,
    summary="Retrieve a chat model",
    description="Names may contain slashes, as they are or as %2F.",
    answer=ref("Model"),
)
DELETE: Final = Operation(
    id="deleteModel",
    tag=TAG,
    summary="Delete a chat model that a fine-tuning job of yours made",
    answer=deleted("model"),
)
