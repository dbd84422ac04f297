"""People, keys, usage and the audit trail for the operator. What is a record cannot be edited."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from chatsite.accounts.models import ApiKey, AuditEvent, UsageRecord, User
from chatsite.accounts.selectors import usage
from chatsite.accounts.services import api_keys
from chatsite.accounts.views.plotting import usage_plot
from chatsite.admin_bases import ReadOnly, ReadOnlyAdmin
from chatsite.net import client_address

SPANS = (7, 30, 90, 365)
"""Days that the summary of usage can look back."""


class ApiKeyInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = ApiKey
    fields = ("name", "prefix", "created_at", "last_used_at", "expires_at", "revoked_at")
    readonly_fields = fields
    extra = 0
    show_change_link = True


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]
    list_display = ("username", "email", "first_name", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "email")}),
        (
            _("Rights"),
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        (
            _("API limits"),
            {
                "fields": api_keys.LIMIT_FIELDS,
                "description": _("Empty: the site's own limits, which the operator's guide names."),
            },
        ),
        (_("Use"), {"fields": ("usage_totals", "last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "email", "usable_password", "password1", "password2"),
            },
        ),
    )
    readonly_fields = ("usage_totals", "last_login", "date_joined")
    # What makes an administrator: only one of them may hand it on.
    rights = ("is_staff", "is_superuser", "groups", "user_permissions")
    inlines = (ApiKeyInline,)

    @admin.display(description=_("Tokens so far"))
    def usage_totals(self, user: User) -> str:
        totals = usage.of_user(user=user)
        return _("%(prompt)s prompt + %(reply)s reply tokens in %(requests)s requests") % {
            "prompt": f"{totals.prompt_tokens:,}",
            "reply": f"{totals.completion_tokens:,}",
            "requests": f"{totals.requests:,}",
        }

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if _is_administrator(request) else (*fields, *self.rights)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Staff may look after people, not after administrators (whose password they could set)."""
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """An administrator may delete a person with everything that is theirs, records included."""
        to_delete, model_count, perms_needed, protected = super().get_deleted_objects(objs, request)
        return to_delete, model_count, set() if _is_administrator(request) else perms_needed, protected


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("usable", _("Usable")), ("expired", _("Expired")), ("revoked", _("Revoked"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        match self.value():
            case "usable":
                return queryset & ApiKey.objects.usable()
            case "expired":
                return queryset.filter(expires_at__lte=timezone.now(), revoked_at=None)
            case "revoked":
                return queryset.exclude(revoked_at=None)
        return queryset


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """No form to add one: the key could not be shown to its owner. `manage.py create_api_key` makes one."""

    list_display = ("prefix", "name", "owner", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_filter = (StateFilter, "created_at")
    list_select_related = ("owner",)
    search_fields = ("prefix", "name", "owner__username", "owner__email")
    search_help_text = _("The first characters of the key, its name, or the owner's name or e-mail")
    # The digest is left out: it is of no use to a person, and to nobody else either.
    fields = ("owner", *(name for name in list_display if name != "owner"), *api_keys.RESTRICTING_FIELDS)
    actions = ("revoke",)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return not lookup.startswith("digest") and super().lookup_allowed(lookup, value, request)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_apikey")

    @admin.action(description=_("Revoke the selected API keys"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        keys = queryset.filter(revoked_at=None).select_related("owner")
        for api_key in keys:
            api_keys.revoke(api_key=api_key, by=_user(request), address=client_address(request))
        count = len(keys)
        text = ngettext("%(count)d key is revoked.", "%(count)d keys are revoked.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    change_list_template = "admin/accounts/usagerecord/change_list.html"
    list_display = (
        "created_at",
        "user",
        "source",
        "chat_model",
        "prompt_tokens",
        "completion_tokens",
        "outcome",
        "api_key",
    )
    list_filter = ("source", "outcome", "chat_model")
    list_select_related = ("user", "api_key")
    search_fields = ("user__username", "user__email", "chat_model", "request_id")
    date_hierarchy = "created_at"
    # The table grows by a row for each request; counting all of it for every filtered page is slow.
    show_full_result_count = False

    def get_urls(self) -> Any:
        summary = self.admin_site.admin_view(self.summary)
        return [path("summary/", summary, name="accounts_usagerecord_summary"), *super().get_urls()]

    def summary(self, request: HttpRequest) -> TemplateResponse:
        """Who used what, over a span of days."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        days = next((span for span in SPANS if str(span) == request.GET.get("days")), usage.DAYS)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Usage by person, key and chat model"),
            "opts": self.model._meta,
            "days": days,
            "spans": SPANS,
            "plot": usage_plot(usage.per_day_totals(days=days)),
            "tables": [
                (_("Person"), usage.per_person(days=days)),
                (_("API key"), usage.per_key(days=days)),
                (_("Chat model"), usage.per_model(days=days)),
            ],
        }
        return TemplateResponse(request, "admin/accounts/usagerecord/summary.html", context)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "kind", "user", "by", "address", "detail")
    list_filter = ("kind",)
    list_select_related = ("user", "by")
    search_fields = ("user__username", "user__email", "address", "detail")
    date_hierarchy = "created_at"
    show_full_result_count = False


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # the admin's views are for logged-in staff
    return request.user


def _is_administrator(request: HttpRequest) -> bool:
    return request.user.is_active and _user(request).is_superuser


def _may_touch(request: HttpRequest, person: User | None) -> bool:
    return person is None or not person.is_superuser or _is_administrator(request)
