"""What people type on the account pages. Rules of the domain are in the services; these only read."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chatsite.accounts.models import ApiKey, User
from chatsite.accounts.services import access, api_keys

# An e-mail address is the longer of the two things one may log in with.
LONGEST_LOGIN = 254
LONGEST_PASSWORD = 1000


class LoginForm(AuthenticationForm):
    """Django's log-in form; a username or an e-mail address goes into its `username`."""

    error_messages = {
        # One sentence for an unknown name, a wrong password and an inactive account: it gives none of them away.
        "invalid_login": _("This name and password do not belong together. Check both and try again."),
        "inactive": _("This name and password do not belong together. Check both and try again."),
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        username = self.fields["username"]
        username.label = _("Username or e-mail")
        username.max_length = LONGEST_LOGIN  # type: ignore[attr-defined]
        username.widget.attrs["maxlength"] = LONGEST_LOGIN


class SignUpForm(forms.Form):
    username = forms.CharField(
        label=_("Username"),
        max_length=150,
        help_text=_("Letters, digits and . + - _ only."),
        widget=forms.TextInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "autofocus": True}
        ),
    )
    email = forms.EmailField(
        label=_("E-mail"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=LONGEST_PASSWORD,
        help_text=_("At least 10 characters. Several words are easier to remember than one strange one."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class ProfileForm(forms.Form):
    """The password is asked for when the e-mail address changes: whoever holds the mailbox can take the account."""

    name = forms.CharField(
        label=_("Name"),
        max_length=150,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    email = forms.EmailField(
        label=_("E-mail"),
        max_length=254,
        required=False,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    password = forms.CharField(
        label=_("Current password"),
        strip=False,
        max_length=LONGEST_PASSWORD,
        required=False,
        help_text=_("Needed to change the e-mail address only."),
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        kwargs["initial"] = {"name": user.first_name, "email": user.email}
        super().__init__(*args, **kwargs)
        self.user = user
        # An account that an operator made without an address may stay so; nobody else can take theirs out.
        self.fields["email"].required = bool(user.email)

    @property
    def changes_email(self) -> bool:
        return "email" in self.changed_data

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.changes_email and not self.user.check_password(cleaned.get("password", "")):
            self.add_error(
                "password", _("This is not your current password. It is needed to change the e-mail address.")
            )
        return cleaned


def _limit(label: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


class RestrictionsForm(forms.Form):
    """What a key may do. The rules are `api_keys`' and `access`'."""

    name = forms.CharField(
        label=_("Name"),
        max_length=ApiKey._meta.get_field("name").max_length,
        help_text=_("Where you will use it, to recognise it later."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    allowed_models = forms.CharField(
        label=_("Chat models"),
        required=False,
        max_length=20_000,
        help_text=_("Names, separated by blanks. Empty: all."),
        widget=forms.Textarea(attrs={"rows": 2, "autocomplete": "off", "spellcheck": "false"}),
    )
    allowed_families = forms.MultipleChoiceField(
        label=_("Endpoints"),
        required=False,
        choices=list(access.FAMILIES.items()),
        help_text=_("None chosen: all."),
        widget=forms.CheckboxSelectMultiple,
    )
    allowed_addresses = forms.CharField(
        label=_("Network addresses"),
        required=False,
        max_length=20_000,
        help_text=_("For example 192.0.2.7 or 2001:db8::/32, separated by blanks. Empty: from anywhere."),
        widget=forms.Textarea(attrs={"rows": 2, "autocomplete": "off", "spellcheck": "false"}),
    )
    requests_per_minute = _limit(_("Requests per minute"))
    requests_per_day = _limit(_("Requests per day"))
    tokens_per_minute = _limit(_("Tokens per minute"))
    tokens_per_day = _limit(_("Tokens per day"))

    @classmethod
    def of(cls, api_key: ApiKey) -> "RestrictionsForm":
        """The form as the key has it."""
        lists = ("allowed_models", "allowed_addresses")
        return cls(
            initial={
                "name": api_key.name,
                "allowed_families": api_key.allowed_families,
                **{name: " ".join(getattr(api_key, name)) for name in lists},
                **{name: getattr(api_key, name) for name in api_keys.LIMIT_FIELDS},
            }
        )

    def restrictions(self) -> api_keys.Restrictions:
        data = self.cleaned_data
        return api_keys.Restrictions(
            models=_words(data["allowed_models"]),
            families=data["allowed_families"],
            addresses=_words(data["allowed_addresses"]),
            **{name: data[name] for name in api_keys.LIMIT_FIELDS},
        )


class ApiKeyForm(RestrictionsForm):
    expires = forms.TypedChoiceField(
        label=_("Expires"),
        coerce=int,
        empty_value=None,
        required=False,
        choices=[
            ("", _("Never")),
            ("7", _("In 7 days")),
            ("30", _("In 30 days")),
            ("90", _("In 90 days")),
            ("365", _("In a year")),
        ],
    )

    def expires_at(self) -> datetime | None:
        days: int | None = self.cleaned_data["expires"]
        return None if days is None else timezone.now() + timedelta(days=days)
