"""The workers for the operator: alive or not, what they host, how busy they are. To look at, not to edit."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from workers.admin.live import LiveAdmin, duration, size, state_badge
from workers.models import Worker
from workers.models.fleet import STALE_AFTER
from workers.protocol import HostedModel
from workers.selectors.fleet import Fleet, State, WorkerView
from workers.services import fleet as services


class Seen(admin.SimpleListFilter):
    title = "last seen"
    parameter_name = "seen"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("now", "A moment ago"), ("before", "Before: gone")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Worker]) -> QuerySet[Worker]:
        limit = timezone.now() - STALE_AFTER
        if self.value() == "now":
            return queryset.filter(last_seen_at__gte=limit)
        if self.value() == "before":
            return queryset.filter(last_seen_at__lt=limit)
        return queryset


@admin.register(Worker)
class WorkerAdmin(LiveAdmin):
    change_list_template = "admin/workers/worker/change_list.html"
    change_form_template = "admin/workers/worker/change_form.html"
    list_display = (
        "name",
        "state",
        "hosted_models",
        "busy",
        "speed",
        "memory",
        "uptime",
        "last_seen",
        "process",
    )
    list_filter = (Seen,)
    search_fields = ("name", "host", "version")
    search_help_text = "Part of the worker's or the machine's name, or a version"
    # Not by the last heartbeat: live workers would change places at every poll.
    ordering = ("-started_at",)
    actions = ("forget",)
    fields = (
        "name",
        "state",
        "hosted_models",
        "busy",
        "speed",
        "memory",
        "uptime",
        "started",
        "last_seen",
        "version",
        "host",
        "pid_now",
    )
    readonly_fields = tuple(field for field in fields if field not in ("name", "version", "host"))

    def view_of(self, row: Any, now: Fleet) -> WorkerView:
        return now.worker(row)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Worker | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A live worker cannot be forgotten: its next heartbeat would bring it back."""
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or self.fleet_of(request).worker(obj).gone)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # `forget` is the same, without those that are alive
        return actions

    def _live_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super()._live_context(request)
        now: Fleet = context["fleet"]
        known = set(Worker.objects.values_list("name", flat=True))
        return {
            **context,
            "chat_models": [now.chat_model(name) for name in now.chat_model_names()],
            "unrecorded": [now.live(status) for status in now.statuses if status.worker not in known],
        }

    @admin.action(description="Forget selected workers that are gone", permissions=["delete"])
    def forget(self, request: HttpRequest, queryset: QuerySet[Worker]) -> None:
        chosen = queryset.count()
        forgotten = services.forget(workers=queryset)
        if forgotten:
            self.message_user(
                request,
                f"{forgotten} worker{'s are' if forgotten != 1 else ' is'} forgotten.",
                messages.SUCCESS,
            )
        if kept := chosen - forgotten:
            self.message_user(
                request,
                f"{kept} {'are' if kept != 1 else 'is'} alive and not forgotten: stop the process first.",
                messages.WARNING,
            )

    @admin.display(description="State")
    def state(self, row: Any) -> str:
        return state_badge(row.view.state)

    @admin.display(description="Chat models")
    def hosted_models(self, row: Any) -> str:
        view: WorkerView = row.view
        return format_html_join("", "<div>{}</div>", ((_describe(model),) for model in view.models))

    @admin.display(description="Slots in use")
    def busy(self, row: Any) -> str:
        view: WorkerView = row.view
        return "-" if view.gone else f"{view.in_flight} of {view.slots}"

    @admin.display(description="Tokens/s")
    def speed(self, row: Any) -> str:
        view: WorkerView = row.view
        return "-" if view.gone else f"{view.tokens_per_second:.1f}"

    @admin.display(description="Memory", ordering="memory_bytes")
    def memory(self, row: Any) -> str:
        return size(row.view.memory_bytes)

    @admin.display(description="Uptime", ordering="started_at")
    def uptime(self, row: Any) -> str:
        return duration(row.view.uptime_seconds)

    @admin.display(description="Started")
    def started(self, row: Any) -> str:
        return date_format(timezone.localtime(row.view.started_at), "DATETIME_FORMAT")

    @admin.display(description="PID", ordering="pid")
    def pid_now(self, row: Any) -> str:
        return str(row.view.pid)  # a plain number would be grouped by thousands

    @admin.display(description="Process", ordering="host")
    def process(self, row: Any) -> str:
        view: WorkerView = row.view
        return format_html("{}, PID {}<br>{}", view.host, view.pid, f"v{view.version}")

    @admin.display(description="Last seen", ordering="last_seen_at")
    def last_seen(self, row: Any) -> str:
        view: WorkerView = row.view
        ago = (timezone.now() - view.last_seen_at).total_seconds()
        words = (
            "now"
            if view.state is State.READY and ago < STALE_AFTER.total_seconds()
            else f"{duration(ago)} ago"
        )
        return format_html(
            '<time datetime="{}" title="{}">{}</time>',
            view.last_seen_at.isoformat(),
            date_format(timezone.localtime(view.last_seen_at), "DATETIME_FORMAT"),
            words,
        )


def _describe(model: HostedModel) -> str:
    what = f"{model.name} ({model.engine})" if model.engine else model.name
    if model.asleep or model.draining:
        return f"{what}, {_('asleep') if model.asleep else _('draining')}"
    return what
