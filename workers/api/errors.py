"""Everything that can go wrong under `/v1`, as OpenAI's error object and with the status its clients act on.

The true clients retry 408, 409, 429 and every 5xx twice, wait as `retry-after-ms` says, and obey `x-should-retry`; so
a status here is also the decision whether the same request is sent again. Knows no endpoint.
"""

import json
import logging
import math
import traceback
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import DisallowedHost, PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from rest_framework import exceptions as drf

from chatsite.accounts.services.quotas import OverLimit
from workers.client import NoWorker, QueueFull, Submission
from workers.connections import UNREACHABLE
from workers.protocol import ErrorCode

logger = logging.getLogger(__name__)

NO_RETRY = {"x-should-retry": "false"}
# A worker that died is back within seconds; two retries that wait this long bridge it.
WORKER_RETURNS_AFTER = 2.0  # seconds
# OpenAI's clients wait no longer than this, whatever they are told.
LONGEST_RETRY = 120.0  # seconds


class ApiError(Exception):
    """An answer other than success. The message is a sentence for the caller and holds no prompt text."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or type(self).code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """OpenAI's error object: the body of a response, and the last frame of a stream that fails."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def response(self) -> HttpResponse:
        return HttpResponse(
            json.dumps(self.body()), status=self.status, content_type="application/json", headers=self.headers
        )


class InvalidRequest(ApiError):  # noqa: N818 - reads as what happened
    status = 400
    type = "invalid_request_error"


class InvalidParameter(InvalidRequest):
    """A value that cannot be used. `param` is its path, e.g. `messages[2].content`; `message` goes on from it."""

    code = "invalid_value"

    def __init__(self, param: str, message: str, *, code: str | None = None) -> None:
        super().__init__(f"'{param}' {message}", param=param or None, code=code)


class Unauthenticated(ApiError):  # noqa: N818
    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"www-authenticate": 'Bearer realm="api"'})


class Forbidden(ApiError):  # noqa: N818
    status = 403
    type = "invalid_request_error"
    code = "permission_denied"


class NotFound(ApiError):  # noqa: N818
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class MethodNotAllowed(ApiError):  # noqa: N818
    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class Conflict(ApiError):  # noqa: N818
    """Clients try again; say `NO_RETRY` where that cannot help."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class TooLarge(ApiError):  # noqa: N818
    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class UnsupportedMediaType(ApiError):  # noqa: N818
    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


class Busy(ApiError):  # noqa: N818
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class InternalError(ApiError):
    status = 500
    code = "internal_error"


class Unavailable(ApiError):  # noqa: N818
    status = 503


class TimedOut(ApiError):  # noqa: N818
    status = 504


def retry_after(seconds: float) -> dict[str, str]:
    """Both headers: the standard one counts whole seconds, OpenAI's clients prefer the milliseconds."""
    return {"retry-after": str(math.ceil(seconds)), "retry-after-ms": str(round(seconds * 1000))}


def over_limit(error: OverLimit) -> Busy:
    """A limit of the caller's is used up. What cannot succeed within minutes is not worth a retry."""
    period = "day" if error.per_day else "minute"
    # What a client sees in the headers is the limit that stopped it.
    standing = {
        f"x-ratelimit-limit-{error.kind}": str(error.limit),
        f"x-ratelimit-remaining-{error.kind}": "0",
    }
    if error.hopeless:
        return Busy(
            f"The request needs about {error.amount} {error.kind}, and the limit is {error.limit} per {period}. "
            "Make it shorter, or set 'max_tokens' lower.",
            headers={**standing, **NO_RETRY},
        )
    text = f"The limit of {error.limit} {error.kind} per {period} is used up."
    if error.retry_after > LONGEST_RETRY:
        return Busy(
            f"{text} It starts anew in {math.ceil(error.retry_after / 60)} minutes.",
            code="insufficient_quota",
            headers={**standing, **retry_after(error.retry_after), **NO_RETRY},
        )
    return Busy(
        f"{text} Try again in {math.ceil(error.retry_after)} seconds.",
        headers={**standing, **retry_after(error.retry_after)},
    )


def unsupported(param: str, message: str) -> InvalidRequest:
    """The chat model cannot do what the parameter asks for. `message` is a whole sentence."""
    return InvalidRequest(message, param=param, code="unsupported_parameter")


OF_THE_WORKERS = frozenset(
    {"unsupported_parameter", "context_length_exceeded", ErrorCode.INVALID_REQUEST.value}
)
"""Codes of the refusals that name a parameter as the workers do."""


def renamed(error: Exception, names: Mapping[str, str]) -> Exception:
    """`error`, with the workers' name of a parameter replaced by the one in `names` that the caller used."""
    if not isinstance(error, InvalidRequest) or error.code not in OF_THE_WORKERS:
        return error
    name = names.get(error.param or "")
    if name is None:
        return error
    message = error.message.replace(f"'{error.param}'", f"'{name}'")
    return InvalidRequest(message, param=name, code=error.code, headers=error.headers)


def model_not_found(name: str) -> NotFound:
    shown = name if len(name) <= 200 else f"{name[:200]}…"
    return NotFound(
        f"The model '{shown}' does not exist. GET /v1/models lists the models there are.",
        param="model",
        code="model_not_found",
    )


def submission_error(error: Submission) -> ApiError:
    """Why the workers did not take a request."""
    if isinstance(error, QueueFull):
        return Busy(
            "Too many requests wait for this model. Try again a little later.",
            code=error.code,
            headers=retry_after(error.retry_after),
        )
    if isinstance(error, NoWorker):
        return failure(
            error.code,
            "No worker serves this model at the moment. GET /v1/models shows which ones are ready.",
        )
    return failure(error.code, "The request was not accepted.")


def failure(code: ErrorCode, message: str, param: str = "") -> ApiError:
    """Why a generation ended without a reply. `param`: what the engine refused."""
    match code:
        case ErrorCode.CONTEXT_OVERFLOW:
            return InvalidRequest(message, param="messages", code="context_length_exceeded")
        case ErrorCode.INVALID_REQUEST:
            return InvalidRequest(message, param=param or None, code=code)
        case ErrorCode.QUEUE_FULL:
            return Busy(message, code=code, headers=retry_after(1.0))
        case ErrorCode.NO_WORKER | ErrorCode.WORKER_LOST:
            return Unavailable(message, code=code, headers=retry_after(WORKER_RETURNS_AFTER))
        case ErrorCode.DEADLINE:
            # Retried, it would occupy the workers for the same long time again, twice.
            return TimedOut(message, code=code, headers=NO_RETRY)
        case ErrorCode.ENGINE_FAILURE | ErrorCode.EXPIRED:
            return InternalError(message, code=code)


def cancelled() -> Unavailable:
    """The reply was stopped on the server's side, by somebody who would not want it made again."""
    return Unavailable(
        "The request was stopped on the server before the reply was whole.",
        code="cancelled",
        headers=NO_RETRY,
    )


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """Django REST framework's hook. Handles everything, so that no other shape than OpenAI's leaves `/v1`."""
    return respond(error)


def respond(error: Exception) -> HttpResponse:
    if isinstance(error, ApiError):
        return error.response()
    if known := _translate(error):
        return known.response()
    _log_crash(error)
    if isinstance(error, (*UNREACHABLE, OperationalError, InterfaceError)):
        return Unavailable(
            "The server cannot reach its database or its broker. Try again a little later.",
            code="unavailable",
            headers=retry_after(WORKER_RETURNS_AFTER),
        ).response()
    response = InternalError(
        "The server had an error while it worked on the request. If it happens again, tell the operator the "
        "x-request-id of this response."
    ).response()
    response._has_been_logged = True  # type: ignore[attr-defined] # or Django logs it once more
    return response


def _translate(error: Exception) -> ApiError | None:
    """The errors that Django and Django REST framework raise themselves."""
    match error:
        case drf.MethodNotAllowed():
            return MethodNotAllowed(str(error.detail))
        case drf.NotAuthenticated() | drf.AuthenticationFailed():
            return Unauthenticated(str(error.detail))
        case drf.PermissionDenied() | PermissionDenied():
            return Forbidden("This key may not do that.")
        case drf.NotFound() | Http404():
            return NotFound("There is nothing at this address.")
        case drf.Throttled():
            wait = float(getattr(error, "wait", None) or 1.0)
            return Busy("Too many requests. Try again a little later.", headers=retry_after(wait))
        case DisallowedHost():
            return InvalidRequest(
                "This server does not answer to the host name you used. Its operator can add it to "
                "CHATSITE_ALLOWED_HOSTS.",
                code="invalid_host",
            )
        case SuspiciousOperation():
            return InvalidRequest("The request is malformed.")
        case _:
            return None


def _log_crash(error: Exception) -> None:
    """Log where it happened, not what the exception says: its text may quote a prompt."""
    chain: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < 5:
        frames = "".join(traceback.format_tb(cause.__traceback__))
        chain.append(f"{type(cause).__module__}.{type(cause).__qualname__}\n{frames}")
        cause = cause.__cause__ or cause.__context__
    logger.error("An API request crashed: %s", "caused by ".join(chain))
