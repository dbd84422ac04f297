"""Moderations in the OpenAPI document."""

from typing import Final

from workers.api.describing import (
    BOOLEAN,
    OBJECT,
    STRING,
    Operation,
    Schema,
    any_of,
    array,
    body,
    const,
    define,
    obj,
    ref,
)
from workers.api.fields import LONGEST_MODEL
from workers.api.moderations import protocol

_INPUT: Final[Schema] = {"type": "string", "maxLength": protocol.LONGEST_INPUT}
REQUEST: Final = body(
    {
        "input": any_of(
            _INPUT,
            array(_INPUT, minItems=1, maxItems=protocol.MOST_INPUTS),
            array(
                {
                    "type": "object",
                    "properties": {"type": const("text"), "text": _INPUT},
                    "required": ["type", "text"],
                },
                minItems=1,
                maxItems=protocol.MOST_INPUTS,
            ),
        ),
        "model": {"type": "string", "maxLength": LONGEST_MODEL, "description": "There is one."},
    },
    required=["input"],
)  # fmt: skip
MODERATION: Final = obj(
    {
        "id": STRING,
        "model": STRING,
        "results": array(obj({"flagged": BOOLEAN, "categories": OBJECT, "category_scores": OBJECT})),
    }
)
define({"ModerationRequest": REQUEST, "Moderation": MODERATION})
CREATE: Final = Operation(
    id="createModeration",
    tag="Moderations",
    summary="What the site's moderators find in texts",
    body=ref("ModerationRequest"),
    example={"input": ["Have a nice day."]},
    answer=ref("Moderation"),
)
