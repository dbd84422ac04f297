"""Change a password, or reset a forgotten one by mail."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views
from django.contrib.auth.forms import PasswordChangeForm, PasswordResetForm, SetPasswordForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.views.decorators.cache import never_cache
from django.views.generic.base import ContextMixin

from chatsite.accounts.models import AuditEvent, User
from chatsite.accounts.services import audit, limits, passwords
from chatsite.accounts.services.limits import Count
from chatsite.accounts.views.limited import LimitedMixin
from chatsite.net import client_address, subscriber

KEPT_HERE = "chatsite.accounts.mail.PrivateFileBackend"
"""The mail backend of a site that has been given no mail server."""


@method_decorator(never_cache, name="dispatch")
class PasswordChangeView(LimitedMixin, views.PasswordChangeView):
    """Django's view logs out every other session of the account and gives this one a new key."""

    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("accounts:settings")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        limits.take(Count(limits.PASSWORD_CONFIRMATION, str(request.user.pk)))
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        limits.give_back(Count(limits.PASSWORD_CONFIRMATION, str(form.user.pk)))
        response = super().form_valid(form)
        audit.record(
            kind=AuditEvent.Kind.PASSWORD_CHANGED, user=form.user, address=client_address(self.request)
        )
        messages.success(self.request, _("Your password is changed. You are logged out everywhere else."))
        return response


class ResetForm(PasswordResetForm):
    email = forms.EmailField(
        label=_lazy("E-mail"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )


class SendsMailMixin(ContextMixin):
    """`sends_mail` in the context: nobody shall wait for a mail that lies in the operator's data directory."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(sends_mail=settings.EMAIL_BACKEND != KEPT_HERE, **kwargs)


class PasswordResetView(SendsMailMixin, LimitedMixin, views.PasswordResetView):
    """The same answer, in the same time, whether or not the address has an account."""

    form_class = ResetForm
    template_name = "accounts/password_reset.html"
    success_url = reverse_lazy("accounts:password_reset_done")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        limits.take(Count(limits.RESET_ADDRESS, subscriber(client_address(request))))
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: PasswordResetForm) -> HttpResponse:
        email = form.cleaned_data["email"]
        limits.take(Count(limits.RESET_MAILBOX, email.casefold()))
        try:
            passwords.request_reset(
                email=email,
                host=self.request.get_host(),
                secure=self.request.is_secure(),
                language=get_language() or "en",
            )
        except passwords.MailDelayed:
            form.add_error(None, _("The mail cannot be sent at the moment. Try again in a few minutes."))
            return self.render_to_response(self.get_context_data(form=form), status=503)
        return HttpResponseRedirect(self.get_success_url())


class PasswordResetDoneView(SendsMailMixin, views.PasswordResetDoneView):
    template_name = "accounts/password_reset_done.html"


class PasswordResetConfirmView(views.PasswordResetConfirmView):
    """Django's view keeps the token out of the address bar, and a used or old link says so."""

    template_name = "accounts/password_reset_confirm.html"
    success_url = reverse_lazy("accounts:password_reset_complete")

    def form_valid(self, form: "SetPasswordForm[User]") -> HttpResponse:
        response = super().form_valid(form)
        audit.record(
            kind=AuditEvent.Kind.PASSWORD_RESET, user=form.user, address=client_address(self.request)
        )
        return response


class PasswordResetCompleteView(views.PasswordResetCompleteView):
    template_name = "accounts/password_reset_complete.html"
