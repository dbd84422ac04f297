"""The smallest value that a JSON schema allows, for the engine that answers without a model. Pure.

Understands what `workers.api.schemas` lets through: objects, arrays, unions, enums, constants, local references,
lengths and bounds. Optional properties are left out, so that recursive schemas end.
"""

from typing import Any

FORMATS = {
    "date": "2024-01-31",
    "time": "12:00:00Z",
    "date-time": "2024-01-31T12:00:00Z",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "polly@example.org",
    "uri": "https://example.org/",
}


def example(schema: Any, root: dict[str, Any] | None = None) -> Any:
    """Raises `RecursionError` for a schema that only an endless value satisfies, `LookupError` for a pattern."""
    root = schema if root is None and isinstance(schema, dict) else root
    if not isinstance(schema, dict):
        return {}
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    if "$ref" in schema:
        return example(_resolve(schema["$ref"], root or {}), root)
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return _first_finite(schema[union], root)
    if schema.get("allOf"):
        return _merged(
            [example({**schema, "allOf": None}, root), *(example(s, root) for s in schema["allOf"])]
        )
    kind = schema.get("type", "object" if "properties" in schema else None)
    kind = kind[0] if isinstance(kind, list) else kind
    return _OF_TYPE.get(str(kind), lambda *_: {})(schema, root)


def _first_finite(schemas: list[Any], root: Any) -> Any:
    for schema in schemas:
        try:
            return example(schema, root)
        except RecursionError:
            continue
    raise RecursionError


def _merged(values: list[Any]) -> Any:
    objects = [value for value in values if isinstance(value, dict)]
    return {key: value for each in objects for key, value in each.items()} if objects else values[-1]


def _object(schema: dict[str, Any], root: Any) -> dict[str, Any]:
    properties = schema.get("properties", {})
    return {name: example(properties.get(name, {}), root) for name in schema.get("required", ())}


def _array(schema: dict[str, Any], root: Any) -> list[Any]:
    first = [example(item, root) for item in schema.get("prefixItems", ())]
    missing = max(0, schema.get("minItems", 0) - len(first))
    return first + [example(schema.get("items", {}), root) for _ in range(missing)]


def _string(schema: dict[str, Any], root: Any) -> str:
    if "pattern" in schema:
        raise LookupError("no example of a pattern")
    text: str = FORMATS.get(schema.get("format", ""), "parrot")
    text += "x" * (schema.get("minLength", 0) - len(text))
    return text[: int(schema.get("maxLength", len(text)))]


def _number(schema: dict[str, Any], root: Any) -> int:
    least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    most = schema.get("maximum", schema.get("exclusiveMaximum", least + 1) - 1)
    value = min(max(0, least), most)
    return int(value) if value == int(value) else int(value) + 1


_OF_TYPE: dict[str, Any] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "number": _number,
    "integer": _number,
    "boolean": lambda *_: True,
    "null": lambda *_: None,
}


def _resolve(reference: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/") if reference.strip("#/") else ():
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found
