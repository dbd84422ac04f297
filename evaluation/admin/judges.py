"""Who may judge, for the operator."""

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from evaluation.errors import CannotEvaluate
from evaluation.models import CachedJudgment, Judge
from evaluation.services import judges
from workers.connections import UNREACHABLE


@admin.register(Judge)
class JudgeAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # Django's own class takes no [] at run time
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}
    list_display = ("name", "model", "base_url", "structured", "concurrency", "state")
    search_fields = ("name", "model", "base_url")
    readonly_fields = ("state", "created_at")
    fieldsets = (
        (None, {"fields": ("name", "model", "state", "created_at")}),
        (
            _("Elsewhere, behind an OpenAI-compatible API"),
            {"fields": ("base_url", "key_variable", "structured", "concurrency")},
        ),
        (gettext_lazy("How it is asked"), {"fields": ("temperature", "max_tokens")}),
        (gettext_lazy("What it costs"), {"fields": ("prompt_price", "completion_price")}),
    )

    @admin.display(description=gettext_lazy("Could judge now"))
    def state(self, judge: Judge) -> str:
        if not judge.model:
            return "–"  # the form for a new one
        try:
            judges.check(judge=judge)
        except CannotEvaluate as error:
            return str(error)
        except UNREACHABLE:
            return _("The broker cannot be reached.")
        return _("Yes")


@admin.register(CachedJudgment)
class CachedJudgmentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """To look at, and to delete when a judge is to be asked anew."""

    list_display = ("judge", "content_key", "completion_tokens", "created_at")
    list_filter = ("judge",)
    search_fields = ("content_key",)
    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
