"""What the page `/docs/api` shows: the OpenAPI document, in the order and the words in which people look for things."""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple

from workers.api.describing import FORM, JSON, Schema, components
from workers.api.reference.document import METHODS, Route, document, routes
from workers.selectors import catalog

PLACEHOLDER: Final = "my-model"
KEY: Final = "sk-…"
FIRST: Final = ("Chat completions", "Responses", "Messages (Anthropic)", "Completions", "Embeddings")
"""Tags that people look for most. The others follow by name."""
TITLES: Final = {"curl": "curl", "python": "Python", "node": "Node.js"}
REFUSED: Final = "Not supported"
DEEPEST: Final = 2
"""How far `kind_of` looks into lists and alternatives."""


class Parameter(NamedTuple):
    name: str
    kind: str
    required: bool
    description: str


class Program(NamedTuple):
    language: str
    title: str
    text: str


class Entry(NamedTuple):
    """One operation."""

    id: str
    tag: str
    method: str
    path: str
    summary: str
    description: str
    public: bool
    named: list[str]
    """Parameters in the path."""
    query: list[Parameter]
    body: list[Parameter]
    not_supported: list[str]
    example: str
    upload: bool
    programs: list[Program]
    statuses: list[tuple[str, str]]


def context(server: str, *, knows_models: bool) -> dict[str, Any]:
    """Of the template. `knows_models`: whether the reader may learn which chat models there are."""
    model = next((each.name for each in catalog.published()), PLACEHOLDER) if knows_models else PLACEHOLDER
    described = document(server)
    entries = sorted((entry for route in routes() for entry in _entries(route, described, model)), key=_place)
    return {
        "server": server,
        "key": KEY,
        "introduction": described["info"]["description"],
        "groups": [(tag, list(group)) for tag, group in groupby(entries, key=lambda entry: entry.tag)],
    }


def _place(entry: Entry) -> tuple[int, str]:
    return (FIRST.index(entry.tag) if entry.tag in FIRST else len(FIRST), entry.tag)


def _entries(route: Route, described: dict[str, Any], model: str) -> Iterator[Entry]:
    item = described["paths"][route.path]
    server = described["servers"][0]["url"]
    # What makes something comes first.
    for method in sorted(route.operations, key=lambda name: (name != "post", METHODS.index(name))):
        operation, source = item[method], route.operations[method]
        wanted = operation.get("requestBody", {}).get("content", {})
        example = _filled(json.dumps(source.example, indent=2, ensure_ascii=False), server, model)
        parameters = list(_parameters(next(iter(wanted.values()))["schema"])) if wanted else []
        yield Entry(
            id=source.id,
            tag=source.tag,
            method=method.upper(),
            path=route.path,
            summary=source.summary,
            description=source.description,
            public=source.public,
            named=[each["name"] for each in item.get("parameters", [])],
            query=[_parameter(each["name"], each["schema"]) for each in operation.get("parameters", [])],
            body=[each for each in parameters if not each.description.startswith(REFUSED)],
            not_supported=[each.name for each in parameters if each.description.startswith(REFUSED)],
            example=example if source.example is not None else "{}" if JSON in wanted else "",
            upload=FORM in wanted,
            programs=_programs(route, method, server, model),
            statuses=[(status, answer["description"]) for status, answer in operation["responses"].items()],
        )


def _parameters(schema: Schema) -> Iterator[Parameter]:
    schema = _resolved(schema)
    required = schema.get("required", [])
    for name, described in schema.get("properties", {}).items():
        yield _parameter(name, described, required=name in required)


def _parameter(name: str, schema: Schema, *, required: bool = False) -> Parameter:
    description = schema.get("description") or _resolved(schema).get("description", "")
    if "default" in schema:
        description = f"{description} Default: {json.dumps(schema['default'])}.".strip()
    return Parameter(name, kind_of(schema), required, description)


def kind_of(schema: Schema, depth: int = 0) -> str:
    """What a value may be, in a few words."""
    schema = _resolved(schema)
    if "enum" in schema:
        return ", ".join(_shown(value) for value in schema["enum"] if value is not None) or "null"
    if "const" in schema:
        return _shown(schema["const"])
    if "anyOf" in schema:
        kinds = dict.fromkeys(
            kind_of(each, depth + 1) for each in schema["anyOf"] if each != {"type": "null"}
        )
        return " or ".join(kinds) if len(kinds) < 4 else "one of several"
    types = schema.get("type", "anything")
    name = " or ".join(kind for kind in types if kind != "null") if isinstance(types, list) else types
    if name == "array":
        inner = schema.get("items", {})
        return f"list of {kind_of(inner, depth + 1)}" if depth < DEEPEST else "list"
    if "minimum" in schema and "maximum" in schema and schema["maximum"] < 2**31 - 1:
        return f"{name}, {schema['minimum']} to {schema['maximum']}"
    return str(name)


def _resolved(schema: Schema) -> Schema:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return components[name] if name else schema


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# --- programs --------------------------------------------------------------------------------------------------


def _programs(route: Route, method: str, server: str, model: str) -> list[Program]:
    texts = {"curl": _curl(route, method), **route.operations[method].code}
    return [
        Program(language, TITLES[language], _filled(text, server, model)) for language, text in texts.items()
    ]


def _curl(route: Route, method: str) -> str:
    operation = route.operations[method]
    lines = [f"curl BASE_URL{route.path}"]
    if method not in ("get", "post") or (method == "post" and operation.body is None):
        lines[0] = f"curl -X {method.upper()} BASE_URL{route.path}"
    if not operation.public:
        lines.append('-H "Authorization: Bearer KEY"')
    if operation.body_type == FORM:
        lines.append('-F purpose="batch" -F file="@requests.jsonl"')
    elif operation.body is not None:
        lines.append('-H "Content-Type: application/json"')
        body = json.dumps(operation.example or {}, indent=2, ensure_ascii=False).replace("'", "'\\''")
        lines.append(f"-d '{body}'")
    if operation.answer is None:
        lines.append("-o content")
    return " \\\n  ".join(lines)


def _filled(text: str, server: str, model: str) -> str:
    return text.replace("BASE_URL", server).replace("MODEL", model).replace("KEY", KEY)
