"""Log in, log out, sign up."""

import unicodedata
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import login, views
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from chatsite.accounts.forms import LoginForm, SignUpForm
from chatsite.accounts.models import AuditEvent
from chatsite.accounts.services import audit, limits, people
from chatsite.accounts.services.limits import Count
from chatsite.accounts.views.limited import LimitedMixin
from chatsite.net import client_address, subscriber


class SafeNextMixin(views.RedirectURLMixin):
    """Django's check of `next`, which keeps it on this site, and none back to the page one is on."""

    request: HttpRequest

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        url = super().get_redirect_url()
        return "" if urlsplit(url).path == self.request.path else url


class LoginView(SafeNextMixin, LimitedMixin, views.LoginView):
    template_name = "accounts/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        limits.take(*self.counts())
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        limits.give_back(*self.counts())
        audit.record(
            kind=AuditEvent.Kind.LOGGED_IN, user=form.get_user(), address=client_address(self.request)
        )
        return super().form_valid(form)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        if form.has_error(NON_FIELD_ERRORS):
            audit.record(
                kind=AuditEvent.Kind.LOGIN_FAILED,
                user=people.find(login=form.cleaned_data["username"]),
                address=client_address(self.request),
            )
        return super().form_invalid(form)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, signup_open=settings.SIGNUP_OPEN)

    def counts(self) -> tuple[Count, ...]:
        address = subscriber(client_address(self.request))
        # At least as coarse as the look-up, so that no spelling of a name has attempts of its own.
        name = unicodedata.normalize("NFKC", self.request.POST.get("username", "")).strip().casefold()
        return (
            Count(limits.LOGIN_ADDRESS, address),
            Count(limits.LOGIN_HERE, f"{address} {name}"),
            Count(limits.LOGIN_ANYWHERE, name),
        )


class LogoutView(views.LogoutView):
    """By POST only: a picture on another site must not log anybody out."""


@method_decorator([sensitive_post_parameters("password"), never_cache], name="dispatch")
class SignUpView(SafeNextMixin, LimitedMixin, FormView):  # type: ignore[type-arg]
    template_name = "accounts/signup.html"
    form_class = SignUpForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return HttpResponseRedirect(self.get_success_url())
        if not settings.SIGNUP_OPEN:
            return TemplateResponse(request, "accounts/signup_closed.html", status=403)
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        limits.take(Count(limits.SIGN_UP_ADDRESS, subscriber(client_address(request))))
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        try:
            user = people.sign_up(**form.cleaned_data, address=client_address(self.request))
        except ValidationError as error:
            form.add_error(None, error)
            return self.form_invalid(form)
        login(self.request, user)
        return HttpResponseRedirect(self.get_success_url())

    def get_default_redirect_url(self) -> str:
        return resolve_url(settings.LOGIN_REDIRECT_URL)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, next=self.get_redirect_url())


def admin_login(request: HttpRequest) -> HttpResponse:
    """The admin's door is the site's own log-in page, with its limits and its trail."""
    if request.user.is_authenticated and not admin.site.has_permission(request):
        return TemplateResponse(request, "accounts/not_staff.html", status=403)
    return redirect_to_login(next=request.GET.get("next") or reverse("admin:index"))
