"""What the two live pages have in common: a list that is drawn with the fleet of this second, and polled."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from workers.admin.ordering import shown_orders
from workers.selectors import fleet
from workers.selectors.fleet import Fleet, State

POLL_SECONDS = 2


class LiveChangeList(ChangeList):
    """A change list whose rows carry a `view` of their live state."""

    model_admin: "LiveAdmin"

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        now = self.model_admin.fleet_of(request)
        self.result_list: Any = list(self.result_list)
        for row in self.result_list:
            row.view = self.model_admin.view_of(row, now)


class LiveAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # Django's own class takes no [] at run time
    """The heartbeats are read once per request, and kept on it: every cell of a page shows the same moment."""

    change_list_template = "admin/workers/live_change_list.html"
    list_per_page = 50

    class Media:
        css = {"all": ("workers/admin.css",)}

    def view_of(self, row: Any, now: Fleet) -> object:
        """What `row.view` is for the columns."""
        raise NotImplementedError

    def fleet_of(self, request: HttpRequest) -> Fleet:
        now: Fleet | None = getattr(request, "_fleet", None)
        if now is None:
            now = fleet.current()
            request._fleet = now  # type: ignore[attr-defined]
        return now

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LiveChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Model | None:
        row: Any = super().get_object(request, object_id, from_field)
        if row is not None:
            row.view = self.view_of(row, self.fleet_of(request))
        return row  # type: ignore[no-any-return]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {**self._live_context(request), **(extra_context or {})})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {**self._live_context(request), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def _live_context(self, request: HttpRequest) -> dict[str, Any]:
        now = self.fleet_of(request)
        return {"fleet": now, "poll_seconds": POLL_SECONDS, "orders": shown_orders(now)}


def state_badge(state: State, detail: str = "") -> str:
    """The state as a word with a coloured dot."""
    return format_html(
        '<span class="live-state live-state--{}">{}</span>{}',
        state.value,
        state.value,
        f", {detail}" if detail else "",
    )


def size(number: int) -> str:
    """Bytes in MiB or GiB."""
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"


def duration(seconds: float) -> str:
    """The two largest units, for example "3 h 12 min"."""
    whole = int(seconds)
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, length)
        if count or parts or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
