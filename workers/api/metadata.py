"""OpenAI's `metadata`: up to 16 labels of a stored thing."""

from typing import Any, Final

from workers.api.errors import InvalidParameter
from workers.api.fields import text

MOST_PAIRS: Final = 16
LONGEST_NAME: Final = 64
LONGEST_VALUE: Final = 512


def read(value: Any, param: str = "metadata") -> dict[str, str]:
    """An absent one is empty. Raises `InvalidParameter`."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidParameter(param, "must be an object of strings.", code="invalid_type")
    if len(value) > MOST_PAIRS:
        raise InvalidParameter(param, f"must have at most {MOST_PAIRS} pairs.")
    for name, entry in value.items():
        if len(name) > LONGEST_NAME:
            raise InvalidParameter(
                param,
                f"has a name of more than {LONGEST_NAME} characters.",
                code="string_above_max_length",
            )
        text(name, param)
        if "\0" in name or (isinstance(entry, str) and "\0" in entry):
            raise InvalidParameter(param, "holds a NUL character, which cannot be stored.")
    return {name: text(entry, f"{param}.{name}", longest=LONGEST_VALUE) for name, entry in value.items()}
