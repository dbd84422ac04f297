"""Pages for people who are signed in."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django_htmx.http import HttpResponseClientRedirect

from chatsite.accounts.models import User

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def for_members(view: View[P]) -> View[P]:
    """`login_required` for whole pages and for htmx, which would put the login page into the middle of another one."""

    @wraps(view)
    @never_cache  # the back button must not show a conversation after the log-out
    def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        if request.headers.get("HX-Request"):
            return HttpResponseClientRedirect(reverse("accounts:login"))
        return redirect_to_login(request.get_full_path())

    return checked


def member(request: HttpRequest) -> User:
    """For views behind `for_members`, which have one."""
    return cast("User", request.user)
