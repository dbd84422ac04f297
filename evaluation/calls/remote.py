"""A chat model behind an OpenAI-compatible API: `POST {base_url}/chat/completions`, without streaming.

Wire formats: https://platform.openai.com/docs/api-reference/chat/create and …/models/list. Servers that do not know
`response_format` answer 400; the caller then asks without it from there on.
"""

import time
from typing import Any

import httpx

from evaluation.calls.base import Call, CallFailed, Completion

# Too many requests, overload, and what proxies say of a server that is just restarting.
TRANSIENT_STATUSES = {408, 409, 425, 429, 500, 502, 503, 504, 529}
FATAL_STATUSES = {401, 403, 404}
# The other side may ask for hours; a person then rather wants to know.
LONGEST_WAIT = 120.0


KNOCK_SECONDS = 10.0


def models_at(
    *,
    base_url: str,
    key: str = "",
    timeout: float = KNOCK_SECONDS,
    transport: httpx.BaseTransport | None = None,
) -> list[str]:
    """The names of the models that the server lists, [] where it lists none; `timeout` is in seconds.

    Raises `CallFailed` when the server cannot be reached or does not take the key. Every other answer is fine: there
    are servers without this list.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(headers=headers, timeout=timeout, transport=transport) as http:
            response = http.get(f"{base_url.rstrip('/')}/models")
    except httpx.HTTPError as error:
        raise CallFailed(
            f"The server cannot be reached ({type(error).__name__}). Check the base URL.", code="network"
        ) from None
    if response.status_code in (401, 403):
        raise CallFailed(
            f"The server answered {response.status_code}{_explanation(response)}. Check the API key.",
            code=f"http_{response.status_code}",
        )
    try:
        return [str(row["id"]) for row in response.json()["data"]] if response.status_code == 200 else []
    except (ValueError, KeyError, TypeError):
        return []


class RemoteCaller:
    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        key: str = "",
        timeout: float = 300.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ):
        self._model = model
        self._schema_known = True
        self._http = httpx.AsyncClient(
            base_url=base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout, connect=20.0),
            # The pool of calls is what bounds them.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            transport=transport,
        )

    async def ask(self, call: Call) -> Completion:
        began = time.monotonic()
        use_schema = call.schema is not None and self._schema_known
        response = await self._post(self._body(call, with_schema=use_schema))
        if response.status_code == 400 and use_schema:
            self._schema_known = False
            response = await self._post(self._body(call, with_schema=False))
        _check(response)
        return _read(response, time.monotonic() - began)

    async def _post(self, body: dict[str, Any]) -> httpx.Response:
        try:
            return await self._http.post("chat/completions", json=body)
        except httpx.TimeoutException:
            raise CallFailed(
                "The remote model did not answer in time.", code="timeout", transient=True
            ) from None
        except httpx.HTTPError as error:
            raise CallFailed(
                f"The remote model cannot be reached ({type(error).__name__}).",
                code="network",
                transient=True,
            ) from None

    def _body(self, call: Call, *, with_schema: bool) -> dict[str, Any]:
        sampling = call.sampling
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.content} for message in call.messages],
        }
        for name in ("temperature", "top_p", "max_tokens", "seed"):
            if (value := getattr(sampling, name)) is not None:
                body[name] = value
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if with_schema:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "verdict", "strict": True, "schema": call.schema},
            }
        return body

    async def close(self) -> None:
        await self._http.aclose()


def _check(response: httpx.Response) -> None:
    status = response.status_code
    if status == 200:
        return
    reason = f"The remote model answered {status}{_explanation(response)}."
    if status in FATAL_STATUSES:
        remedy = {404: "Check base URL and model name."}.get(status, "Check the API key.")
        raise CallFailed(f"{reason} {remedy}", code=f"http_{status}", fatal=True)
    raise CallFailed(
        reason,
        code=f"http_{status}",
        transient=status in TRANSIENT_STATUSES,
        retry_after=_retry_after(response),
    )


def _explanation(response: httpx.Response) -> str:
    """The error's code as OpenAI's shape has it; never its message, which may quote the prompt or the key."""
    try:
        error = response.json()["error"]
        code = error.get("code") or error.get("type")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f" ({code})"[:60] if isinstance(code, str | int) else ""


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return min(LONGEST_WAIT, max(0.0, float(response.headers["retry-after"])))
    except (KeyError, ValueError):  # absent, or a date: the back-off decides
        return None


def _read(response: httpx.Response, seconds: float) -> Completion:
    try:
        data = response.json()
        choice = data["choices"][0]
        text = choice["message"].get("content") or ""
        usage = data.get("usage") or {}
        return Completion(
            text=str(text),
            outcome=str(choice.get("finish_reason") or "stop"),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            completion_tokens=int(usage.get("completion_tokens") or 0),
            seconds=seconds,
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise CallFailed(
            "The remote model's answer is not a chat completion.", code="malformed", transient=True
        ) from None
