"""Reads a JSON body, or says what is wrong with it.

Django's own limit is made for forms and too small for pictures in base64; Django REST framework's JSON parser has none.
The server (Daphne) takes the whole body from the wire before Django runs, so the limit here bounds what is parsed, and
a proxy in front bounds what is received.
"""

import json
from typing import Any, NoReturn

from rest_framework.request import Request

from workers.api.errors import InvalidRequest, TooLarge, UnsupportedMediaType

BODY_LIMIT = 10 * 1024 * 1024  # bytes


def read_json(request: Request) -> dict[str, Any]:
    """The body's JSON object. Raises `UnsupportedMediaType`, `TooLarge` or `InvalidRequest`."""
    _check_media_type(request)
    return parse_json(_read(request))


def parse_json(body: bytes) -> dict[str, Any]:
    if not body.strip():
        raise InvalidRequest("The request has no body. Send a JSON object.", code="invalid_json")
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not UTF-8 at byte {error.start}.", code="invalid_json") from None
    except json.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno} column {error.colno}"
        raise InvalidRequest(f"The body is not valid JSON: {where}.", code="invalid_json") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.", code="invalid_json") from None
    except ValueError:  # a number with more digits than Python converts, or one of the constants below
        raise InvalidRequest(
            "The body holds a number that JSON does not allow.", code="invalid_json"
        ) from None
    if not isinstance(data, dict):
        raise InvalidRequest('The body must be a JSON object, such as {"model": …}.', code="invalid_json")
    return data


def _check_media_type(request: Request) -> None:
    media_type, _, options = request.META.get("CONTENT_TYPE", "").partition(";")
    if media_type.strip().lower() != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with the header 'Content-Type: application/json'.")
    charset = options.lower().replace(" ", "").replace('"', "")
    if "charset=" in charset and "charset=utf-8" not in charset:
        raise UnsupportedMediaType("Send the body in UTF-8; JSON has no other charset.")
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("Send the body uncompressed, without a Content-Encoding header.")


def _read(request: Request) -> bytes:
    too_large = TooLarge(f"The body is larger than {BODY_LIMIT // 1024 // 1024} MiB. Send a shorter request.")
    try:
        announced = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        announced = 0
    if announced > BODY_LIMIT:
        raise too_large
    body: bytes = request._request.read(BODY_LIMIT + 1)
    if len(body) > BODY_LIMIT:
        raise too_large
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
