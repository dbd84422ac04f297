"""A person's own pages: profile, API keys, usage."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe
from django.views.generic import FormView

from chatsite.accounts.forms import ApiKeyForm, ProfileForm, RestrictionsForm
from chatsite.accounts.models import ApiKey, User
from chatsite.accounts.selectors import usage as usage_selector
from chatsite.accounts.services import api_keys, limits, people, quotas
from chatsite.accounts.services.limits import Count
from chatsite.accounts.views.limited import LimitedMixin
from chatsite.accounts.views.plotting import usage_plot
from chatsite.net import client_address


class AuthenticatedRequest(HttpRequest):
    """What `login_required` lets through."""

    user: User


@method_decorator([sensitive_post_parameters("password"), login_required, never_cache], name="dispatch")
class ProfileView(LimitedMixin, FormView):  # type: ignore[type-arg]
    template_name = "accounts/settings.html"
    form_class = ProfileForm
    request: AuthenticatedRequest

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.request.user}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        count = Count(limits.PASSWORD_CONFIRMATION, str(self.request.user.pk))
        limits.take(count)
        form = self.get_form()
        if not form.is_valid():
            return self.form_invalid(form)
        limits.give_back(count)
        return self.form_valid(form)

    def form_valid(self, form: ProfileForm) -> HttpResponse:
        try:
            people.change_profile(
                user=self.request.user,
                name=form.cleaned_data["name"],
                email=form.cleaned_data["email"],
                address=client_address(self.request),
            )
        except ValidationError as error:
            form.add_error(None, error)
            return self.form_invalid(form)
        messages.success(self.request, _("Your settings are saved."))
        return redirect("accounts:settings")


@method_decorator([login_required, never_cache], name="dispatch")
class ApiKeysView(FormView):  # type: ignore[type-arg]
    """Lists the keys and makes new ones.

    A new key is in the answer to the POST itself: it is shown once, and neither the session nor an address holds it.
    """

    template_name = "accounts/api_keys.html"
    form_class = ApiKeyForm
    request: AuthenticatedRequest

    def form_valid(self, form: ApiKeyForm) -> HttpResponse:
        try:
            api_key, key = api_keys.create(
                owner=self.request.user,
                name=form.cleaned_data["name"],
                expires_at=form.expires_at(),
                address=client_address(self.request),
                restrictions=form.restrictions(),
            )
        except ValidationError as error:
            form.add_error(None, error)
            return self.form_invalid(form)
        context = self.get_context_data(form=ApiKeyForm(), created=api_key, key=key)
        return self.render_to_response(context, status=201)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        keys = ApiKey.objects.filter(owner=self.request.user, revoked_at=None)
        return super().get_context_data(**kwargs, api_keys=keys)


@method_decorator([login_required, never_cache], name="dispatch")
class ApiKeyView(FormView):  # type: ignore[type-arg]
    """One key: its name and restrictions can be changed, its expiry and itself cannot."""

    template_name = "accounts/api_key.html"
    form_class = RestrictionsForm
    request: AuthenticatedRequest

    def get_form(self, form_class: Any = None) -> RestrictionsForm:
        api_key = self._api_key()
        return (
            RestrictionsForm(self.request.POST)
            if self.request.method == "POST"
            else RestrictionsForm.of(api_key)
        )

    def form_valid(self, form: RestrictionsForm) -> HttpResponse:
        try:
            api_keys.change(
                api_key=self._api_key(),
                name=form.cleaned_data["name"],
                restrictions=form.restrictions(),
                address=client_address(self.request),
            )
        except ValidationError as error:
            form.add_error(None, error)
            return self.form_invalid(form)
        messages.success(self.request, _("The key is changed."))
        return redirect("accounts:api_keys")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, api_key=self._api_key())

    def _api_key(self) -> ApiKey:
        mine = ApiKey.objects.filter(owner=self.request.user, revoked_at=None)
        return get_object_or_404(mine, pk=self.kwargs["pk"])


@login_required
def api_key_revoke(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    if request.method != "POST":
        # Whoever had to log in first is sent here by GET.
        return redirect("accounts:api_keys")
    api_key = get_object_or_404(ApiKey, owner=request.user, pk=pk)
    api_keys.revoke(api_key=api_key, address=client_address(request))
    messages.success(request, _("The key %(name)s is revoked.") % {"name": api_key.name})
    return redirect("accounts:api_keys")


@require_safe
@login_required
@never_cache
def usage(request: AuthenticatedRequest) -> HttpResponse:
    rows = usage_selector.per_day(user=request.user)
    context = {
        "rows": rows,
        "totals": usage_selector.totals(rows),
        "days": usage_selector.DAYS,
        "plot": usage_plot(usage_selector.per_day_totals(user=request.user)),
        "models": usage_selector.per_model(user=request.user),
        "keys": usage_selector.per_key(user=request.user),
        "limits": quotas.limits_of(request.user),
    }
    return TemplateResponse(request, "accounts/usage.html", context)
