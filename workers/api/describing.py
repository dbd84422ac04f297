"""The words in which endpoints describe themselves for the OpenAPI document. Knows JSON Schema, no endpoint.

What a request may say is checked by each family's `protocol.py`. The family's `openapi.py` describes it with the names,
bounds and tables of that same file; `tests/workers/api/test_openapi.py` and the generated requests of
`test_generated_requests.py` hold the two together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from workers.api import fields, metadata

Schema: TypeAlias = dict[str, Any]

JSON: Final = "application/json"
SSE: Final = "text/event-stream"
BYTES: Final = "application/octet-stream"
FORM: Final = "multipart/form-data"

STRING: Final[Schema] = {"type": "string"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
INTEGER: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
OBJECT: Final[Schema] = {"type": "object"}
SECONDS: Final[Schema] = {"type": "integer", "description": "Unix time, in seconds."}
MAYBE_SECONDS: Final[Schema] = {"type": ["integer", "null"], "description": "Unix time, in seconds."}
MAYBE_STRING: Final[Schema] = {"type": ["string", "null"]}
MODEL: Final[Schema] = {
    "type": "string",
    "maxLength": fields.LONGEST_MODEL,
    "description": "A chat model's name or alias, as GET /v1/models lists them.",
}
LABELS: Final[Schema] = {
    "type": "object",
    "maxProperties": metadata.MOST_PAIRS,
    "propertyNames": {"maxLength": metadata.LONGEST_NAME},
    "additionalProperties": {"type": "string", "maxLength": metadata.LONGEST_VALUE},
    "description": "Your own labels of what is kept.",
}

_NAMES: Final[dict[type, str]] = {
    str: "string",
    dict: "object",
    bool: "boolean",
    list: "array",
    int: "integer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one address."""

    id: str
    """`operationId`, by which generated clients name their function."""
    tag: str
    summary: str
    description: str = ""
    body: Schema | None = None
    body_type: str = JSON
    body_required: bool = True
    example: Any = None
    """A body that works, with `MODEL` in the place of a chat model's name."""
    query: Mapping[str, Schema] = field(default_factory=dict)
    answer: Schema | None = None
    """Schema of the JSON that answers it; None when it is bytes."""
    streams: bool = False
    """It can answer with server-sent events as well."""
    works: bool = False
    """It needs a worker, which may be missing or late."""
    public: bool = False
    """It needs no key."""
    anthropic: bool = False
    """Its errors have Anthropic's shape."""
    statuses: Mapping[int, str] = field(default_factory=dict)
    """Statuses of its own, with what each means. 503 and the like need no mention when it `works`."""
    code: Mapping[str, str] = field(default_factory=dict)
    """`python` and `node` → a program that uses it; `BASE_URL`, `KEY` and `MODEL` stand for the reader's own."""


components: Final[dict[str, Schema]] = {}
"""Name → schema. Families enter theirs when they are imported, as Django's models enter themselves."""


def define(schemas: Mapping[str, Schema]) -> None:
    """Enter schemas under the names by which `ref` finds them."""
    if twice := components.keys() & schemas.keys():
        raise ValueError(f"Defined twice: {', '.join(sorted(twice))}")
    components.update(schemas)


def define_lists(entries: Mapping[str, str]) -> None:
    """Pages of a list, as OpenAI has them: the list's name → that of its entries."""
    define({name: _list_of(entry) for name, entry in entries.items()})


def ref(name: str) -> Schema:
    """A schema among the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(properties: Mapping[str, Schema], *, required: Iterable[str] | None = None, **more: Any) -> Schema:
    """An object of an answer: everything in it is always there, unless `required` says otherwise."""
    names = list(properties) if required is None else list(required)
    return {"type": "object", "properties": dict(properties), "required": names, **more}


def closed(properties: Mapping[str, Schema], *, required: Iterable[str] = (), **more: Any) -> Schema:
    """An object of a request: no other key is accepted, and null is as good as absent where nothing is required."""
    needed = list(required)
    return {
        "type": "object",
        "properties": {
            name: schema if name in needed else nullable(schema) for name, schema in properties.items()
        },
        "required": needed,
        "additionalProperties": False,
        **more,
    }


def body(
    honoured: Mapping[str, Schema],
    *,
    required: Iterable[str],
    without_effect: Mapping[str, tuple[type, str]] | None = None,
    unsupported: Mapping[str, tuple[Any, ...]] | None = None,
    **more: Any,
) -> Schema:
    """A request's body, from the tables by which it is checked."""
    properties = dict(honoured)
    for name, (kind, reason) in (without_effect or {}).items():
        properties[name] = {"type": _NAMES[kind], "description": f"Accepted without effect: {reason}."}
    for name, neutral in (unsupported or {}).items():
        properties[name] = refused(neutral)
    return closed(properties, required=required, **more)


def refused(neutral: Iterable[Any]) -> Schema:
    """A parameter that may only be there with a value that asks for nothing."""
    return {"enum": [*neutral, None], "description": "Not supported: leave it out."}


def array(of: Schema, **bounds: int) -> Schema:
    """`minItems`, `maxItems`."""
    return {"type": "array", "items": of, **bounds}


def one_of(values: Iterable[Any], **more: Any) -> Schema:
    return {"enum": list(values), **more}


def any_of(*schemas: Schema, **more: Any) -> Schema:
    return {"anyOf": list(schemas), **more}


def const(value: Any) -> Schema:
    return {"const": value}


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    if "enum" in schema:
        return schema if None in schema["enum"] else {**schema, "enum": [*schema["enum"], None]}
    kind = schema.get("type")
    if kind is not None:
        kinds = kind if isinstance(kind, list) else [kind]
        return schema if "null" in kinds else {**schema, "type": [*kinds, "null"]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return any_of(schema, {"type": "null"}) if schema else schema


def said(schema: Schema, description: str) -> Schema:
    """With a description, which a reference can have as well in OpenAPI 3.1."""
    return {**schema, "description": description}


def _list_of(name: str) -> Schema:
    return obj(
        {
            "object": const("list"),
            "data": array(ref(name)),
            "first_id": MAYBE_STRING,
            "last_id": MAYBE_STRING,
            "has_more": BOOLEAN,
        }
    )


def deleted(kind: str) -> Schema:
    return obj({"id": STRING, "object": const(kind), "deleted": const(True)})


def paging(*, default: int = 20, most: int = 100, order: str = "desc") -> dict[str, Schema]:
    """The query of a list; the keyword arguments are those of `pages.page`."""
    return {
        "limit": {"type": "integer", "minimum": 1, "maximum": most, "default": default},
        "after": {"type": "string", "description": "The last id that you have. What follows it is sent."},
        "order": {"enum": ["asc", "desc"], "default": order},
    }
