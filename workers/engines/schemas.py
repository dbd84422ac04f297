"""Moves JSON schemas about: references are all that has to change with the place. Pure."""

import re
from typing import Any

_DEFINITION = re.compile(r"#/(?:\$defs|definitions)/(.+)")


def dangling(schema: dict[str, Any]) -> list[str]:
    """References of a `rooted` schema to definitions that it does not have."""
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                look(item)
        elif isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                name = _DEFINITION.fullmatch(reference)
                if not name or name[1] not in schema.get("$defs", {}):
                    found.append(reference)
            for item in value.values():
                look(item)

    look(schema)
    return found


def apart(schema: dict[str, Any], prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """`schema` without its definitions, fit to stand inside of another one, and the definitions under new names.

    A reference to the whole (`#`) becomes one to a definition that holds the whole.
    """
    whole = f"{prefix}whole"
    uses_whole = False

    def moved(value: Any) -> Any:
        nonlocal uses_whole
        if isinstance(value, list):
            return [moved(item) for item in value]
        if not isinstance(value, dict):
            return value
        result = {key: moved(item) for key, item in value.items()}
        reference = value.get("$ref")
        if reference == "#":
            uses_whole = True
            result["$ref"] = f"#/$defs/{whole}"
        elif isinstance(reference, str) and (found := _DEFINITION.fullmatch(reference)):
            result["$ref"] = f"#/$defs/{prefix}{found[1]}"
        return result

    own = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    body = moved({key: value for key, value in schema.items() if key not in {"$defs", "definitions"}})
    definitions = {f"{prefix}{name}": moved(value) for name, value in own.items()}
    if uses_whole:
        return {"$ref": f"#/$defs/{whole}"}, {**definitions, whole: body}
    return body, definitions


def rooted(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema with every reference pointing into `$defs`, also one to the whole (`#`)."""
    body, definitions = apart(schema, "")
    return {**body, "$defs": definitions} if definitions else body
