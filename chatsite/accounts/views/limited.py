"""The answer to an attempt over a limit."""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.translation import ngettext
from django.views.generic import View

from chatsite.accounts.services.limits import TooManyAttempts


class LimitedMixin(View):
    """Turns `TooManyAttempts`, raised anywhere in the view, into a page that says how long to wait."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        except TooManyAttempts as refusal:
            return too_many_attempts(request, refusal.retry_after)


def too_many_attempts(request: HttpRequest, retry_after: int) -> TemplateResponse:
    return TemplateResponse(
        request,
        "accounts/too_many_attempts.html",
        {"wait": wait_in_words(retry_after)},
        status=429,
        headers={"Retry-After": str(retry_after), "Cache-Control": "no-store"},
    )


def wait_in_words(seconds: int) -> str:
    """Rounded up: whoever comes back then must not be turned away again."""
    if seconds < 60:
        return ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds}
    minutes = -(-seconds // 60)
    return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}
