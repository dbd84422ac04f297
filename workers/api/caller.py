"""Who makes the request that this thread handles: the key, and what its limits have left.

Kept beside the handlers rather than passed through them, so that no endpoint can forget a rule for keys: looking a chat
model up and submitting a generation ask here.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field

from chatsite.accounts.models import ApiKey
from chatsite.accounts.services import quotas
from chatsite.accounts.services.quotas import Standing


@dataclass(slots=True)
class Caller:
    api_key: ApiKey
    standings: dict[str, Standing] = field(default_factory=dict)
    """`requests` or `tokens` → what is left, for those that are limited."""
    resumes: bool = False
    """The request may have been submitted before, by a process that is gone: then it is followed, not made again."""
    limited: bool = True

    def headers(self) -> dict[str, str]:
        """OpenAI's `x-ratelimit-*`."""
        headers = {}
        for kind, standing in self.standings.items():
            headers[f"x-ratelimit-limit-{kind}"] = str(standing.limit)
            headers[f"x-ratelimit-remaining-{kind}"] = str(standing.remaining)
            headers[f"x-ratelimit-reset-{kind}"] = duration(standing.reset)
        return headers

    def count_request(self) -> None:
        """Raises `quotas.OverLimit`."""
        if self.limited:
            self._note("requests", quotas.count_request(api_key=self.api_key))

    def reserve(self, request_id: str, tokens: int) -> bool:
        """Whether something has to be settled later. Raises `quotas.OverLimit`."""
        if not self.limited:
            return False
        standing = quotas.reserve(api_key=self.api_key, request_id=request_id, tokens=tokens)
        self._note("tokens", standing)
        return standing is not None

    def _note(self, kind: str, standing: Standing | None) -> None:
        if standing is not None:
            self.standings[kind] = standing


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current() -> Caller | None:
    return _current.get()


def enter(caller: Caller | None) -> None:
    """Say who calls, for the rest of this request."""
    _current.set(caller)


def duration(seconds: float) -> str:
    """As OpenAI writes it: `250ms`, `1s`, `6m0s`, `3h0m5s`."""
    if seconds < 1:
        return f"{max(1, round(seconds * 1000))}ms"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if whole >= 60 else ""
    return f"{text}{whole % 60}s"
