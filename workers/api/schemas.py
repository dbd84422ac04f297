"""JSON schemas in requests: which ones an answer can be held to. Pure.

A strict schema is a promise: the answer validates against it. So a keyword that the engines' grammars pass over is
refused by its place, rather than broken now and then. The list of what grammars enforce is llama.cpp's, measured with
its converter (`grammars/README.md` of llama.cpp describes it); xgrammar's is larger.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from workers.api.errors import InvalidParameter

LARGEST: Final = 64 * 1024  # characters of JSON
DEEPEST: Final = 64

ANNOTATIONS: Final = frozenset(
    {
        "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$schema", "$id",
        "$comment", "discriminator", "nullable", "contentEncoding", "contentMediaType",
    }
)  # fmt: skip
ENFORCED: Final = frozenset(
    {
        "type", "properties", "required", "additionalProperties", "items", "prefixItems", "minItems", "maxItems",
        "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions", "minLength", "maxLength", "pattern",
        "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    }
)  # fmt: skip
BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
# What llama.cpp's converter reads of a regular expression: classes, groups, alternatives and counts.
PATTERN: Final = re.compile(r"\^(?:[^\\^$]|\\[.\-\[\]{}()*+?|^$/\\\"])*\$")


def check(schema: Any, param: str, *, strict: bool) -> dict[str, Any]:
    """`schema` if it can be used. Raises `InvalidParameter` that names the place and what is wrong with it."""
    if not isinstance(schema, dict):
        raise InvalidParameter(param, "must be a JSON schema, an object.", code="invalid_type")
    try:
        size = len(json.dumps(schema))
    except RecursionError:
        size = LARGEST + 1
    if size > LARGEST:
        raise InvalidParameter(param, f"must have at most {LARGEST} characters.")
    for path, part in _walk(schema, param, 0):
        _check_shape(part, path)
        if strict:
            _check_enforced(part, path)
    _check_references(schema, param)
    _check_circles(schema, param)
    return schema


def _walk(schema: Any, path: str, depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schema and every schema in it, each with its place. The caller has checked a schema before it asks on."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise InvalidParameter(path, "must be a JSON schema, an object.", code="invalid_type")
    if depth > DEEPEST:
        raise InvalidParameter(path, f"is nested more than {DEEPEST} deep.")
    yield path, schema
    for name in ("properties", "$defs", "definitions"):
        for key, part in schema.get(name, {}).items():
            yield from _walk(part, f"{path}.{name}.{key[:50]}", depth + 1)
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        parts = schema.get(name, [])
        if not isinstance(parts, list) or (name in schema and not parts):
            raise InvalidParameter(f"{path}.{name}", "must be a list of schemas.", code="invalid_type")
        for number, part in enumerate(parts):
            yield from _walk(part, f"{path}.{name}[{number}]", depth + 1)
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from _walk(schema[name], f"{path}.{name}", depth + 1)


TYPES: Final = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


def _check_shape(schema: dict[str, Any], path: str) -> None:
    """What would make a converter stumble, strict or not."""
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if not all(isinstance(kind, str) and kind in TYPES for kind in kinds):
        raise InvalidParameter(
            f"{path}.type", f"must be one of {', '.join(sorted(TYPES))}, or a list of them."
        )
    for name in ("properties", "$defs", "definitions"):
        if not isinstance(schema.get(name, {}), dict):
            raise InvalidParameter(f"{path}.{name}", "must be an object of schemas.", code="invalid_type")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise InvalidParameter(f"{path}.required", "must be a list of names.", code="invalid_type")
    if "enum" in schema and (not isinstance(schema["enum"], list) or not schema["enum"]):
        raise InvalidParameter(f"{path}.enum", "must be a list of values.", code="invalid_type")
    for name in ("minItems", "maxItems", "minLength", "maxLength"):
        value = schema.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100_000:
            raise InvalidParameter(f"{path}.{name}", "must be a whole number from 0 to 100000.")
    for name in BOUNDS:
        value = schema.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidParameter(f"{path}.{name}", "must be a number.", code="invalid_type")
    if not isinstance(schema.get("pattern", ""), str) or not isinstance(schema.get("format", ""), str):
        raise InvalidParameter(path, "has a pattern or a format that is not a string.", code="invalid_type")


def _check_enforced(schema: dict[str, Any], path: str) -> None:
    for name in schema:
        if name not in ENFORCED | ANNOTATIONS:
            raise _not_kept(f"{path}.{name[:50]}")
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "number" in kinds and (bound := next((name for name in BOUNDS if name in schema), None)):
        raise _not_kept(f"{path}.{bound}", " Bounds are kept for integers only.")
    for name in set(schema.get("required", ())) - schema.get("properties", {}).keys():
        raise _not_kept(f"{path}.required", f" '{name[:50]}' is not among the properties.")
    if "pattern" in schema and not PATTERN.fullmatch(schema["pattern"]):
        hint = " A pattern begins with ^, ends with $ and has no escapes such as \\d or \\w."
        raise _not_kept(f"{path}.pattern", hint)


def _check_references(schema: dict[str, Any], param: str) -> None:
    definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    for path, part in _walk(schema, param, 0):
        reference = part.get("$ref", "#")
        name = reference.rpartition("/")[2] if isinstance(reference, str) else None
        known = reference == "#" or (
            isinstance(reference, str)
            and reference in {f"#/$defs/{name}", f"#/definitions/{name}"}
            and name in definitions
        )
        if not known:
            raise InvalidParameter(
                f"{path}.$ref", "must refer to a definition of the same schema, such as '#/$defs/name'."
            )


def _check_circles(schema: dict[str, Any], param: str) -> None:
    """A schema that is defined by itself alone says nothing; llama.cpp then holds the answer to nothing at all.

    Followed is what stands in the same place of the answer: references and alternatives, not properties or items.
    """
    places = {id(part): (path, part) for path, part in _walk(schema, param, 0)}
    named = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    leads = {key: [id(to) for to in _same_place(part, schema, named)] for key, (_, part) in places.items()}
    # Whatever leads nowhere is fine, then what leads to such only, and so on: no recursion, chains may be long.
    come_from: dict[int, list[int]] = {key: [] for key in leads}
    for key, targets in leads.items():
        for target in targets:
            come_from[target].append(key)
    open_ends = {key: len(targets) for key, targets in leads.items()}
    fine = [key for key, count in open_ends.items() if not count]
    for key in fine:
        for before in come_from[key]:
            open_ends[before] -= 1
            if not open_ends[before]:
                fine.append(before)
    circular = leads.keys() - set(fine)
    if circular:
        key, seen = next(key for key in leads if key in circular), set[int]()
        while key not in seen:
            seen.add(key)
            key = next(target for target in leads[key] if target in circular)
        raise InvalidParameter(
            places[key][0], "is defined by nothing but itself. Say what it is.", code="invalid_schema"
        )


def _same_place(part: dict[str, Any], schema: dict[str, Any], named: dict[str, Any]) -> list[dict[str, Any]]:
    found = [one for keyword in ("anyOf", "oneOf", "allOf") for one in part.get(keyword, ())]
    if reference := part.get("$ref"):
        found.append(schema if reference == "#" else named[reference.rpartition("/")[2]])
    return [one for one in found if isinstance(one, dict)]


def _not_kept(path: str, hint: str = "") -> InvalidParameter:
    return InvalidParameter(
        path,
        f"cannot be guaranteed.{hint} Leave it out, or set 'strict' to false to do without the guarantee.",
        code="unsupported_schema",
    )
