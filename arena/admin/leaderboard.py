"""The leaderboard for operators: what is said of a chat model, published boards, and the days in numbers."""

from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_POST

from arena.boards import plots
from arena.errors import Refused
from arena.models import DailyStatistics, Listing, ListingChange, Snapshot
from arena.selectors import leaderboard, statistics
from arena.selectors.leaderboard import Query
from arena.services import publishing
from chatsite.accounts.models import User
from chatsite.admin_bases import ReadOnlyAdmin

DAYS = (7, 30, 90, 365)
IN_BARS = 20


@admin.register(Listing)
class ListingAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Saving goes through the service, which writes the public log."""

    list_display = ("name", "rank", "rating", "votes", "organisation", "licence", "visibility")
    list_filter = ("visibility",)
    search_fields = ("name", "organisation")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Listing]:
        # Solved at most once for each version of the votes.
        self._standings = {standing.name: standing for standing in leaderboard.board(Query()).standings}
        queryset: QuerySet[Listing] = super().get_queryset(request)
        return queryset

    @admin.display(description="Rank")
    def rank(self, listing: Listing) -> str:
        standing = self._standings.get(listing.name)
        return str(standing.rank) if standing else "–"

    @admin.display(description="Rating, 95 % interval")
    def rating(self, listing: Listing) -> str:
        standing = self._standings.get(listing.name)
        return f"{standing.rating:.0f} ({standing.low:.0f} – {standing.high:.0f})" if standing else "–"

    @admin.display(description="Votes")
    def votes(self, listing: Listing) -> str:
        standing = self._standings.get(listing.name)
        return str(standing.votes) if standing else "0"

    def save_model(self, request: HttpRequest, obj: Listing, form: Any, change: bool) -> None:  # noqa: FBT001
        if "visibility" not in form.changed_data or (not change and obj.visibility == "public"):
            super().save_model(request, obj, form, change)
            return
        publishing.change_visibility(listing=obj, visibility=obj.visibility, operator=_operator(request))

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Without its row a hidden chat model would be shown again, and the log would not say so."""
        return False


@admin.register(ListingChange)
class ListingChangeAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "name", "visibility", "reason", "changed_by")
    list_select_related = ("changed_by",)
    search_fields = ("name",)


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    change_list_template = "admin/arena/snapshot/change_list.html"
    list_display = ("id", "created_at", "slice", "votes", "short_hash", "code_version", "published_by")
    list_select_related = ("published_by",)
    fields = (
        "slice",
        "votes",
        "votes_hash",
        "rows_hash",
        "spread",
        "code_version",
        "published_by",
        "created_at",
        "rows",
    )
    actions = ("verify",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Snapshot]:
        queryset: QuerySet[Snapshot] = super().get_queryset(request)
        return queryset.defer("vote_ranges")

    def get_urls(self) -> list[URLPattern]:
        own = path("publish/", self.admin_site.admin_view(self.publish), name="arena_snapshot_publish")
        return [own, *super().get_urls()]

    def publish(self, request: HttpRequest) -> HttpResponse:
        """The button above the list, for operators who may add boards."""
        if not request.user.has_perm("arena.add_snapshot"):
            raise PermissionDenied
        return _publish(request)

    @admin.display(description="Votes (SHA-256)")
    def short_hash(self, snapshot: Snapshot) -> str:
        return snapshot.votes_hash[:12]

    @admin.action(description="Solve again and compare")
    def verify(self, request: HttpRequest, queryset: QuerySet[Snapshot]) -> None:
        for number in queryset.values_list("pk", flat=True):
            problems = publishing.verify(snapshot_id=number).problems
            level = messages.ERROR if problems else messages.SUCCESS
            self.message_user(
                request, f"Board {number}: {' '.join(problems) or 'holds, bit for bit.'}", level
            )


@admin.register(DailyStatistics)
class DailyStatisticsAdmin(ReadOnlyAdmin):
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            return super().changelist_view(request, extra_context)
        wanted = request.GET.get("days", "30")
        days = int(wanted) if wanted in {str(days) for days in DAYS} else 30
        numbers = statistics.daily(days=days)
        context = {
            **self.admin_site.each_context(request),
            "title": "Daily statistics",
            "opts": self.model._meta,
            "days": days,
            "choices": DAYS,
            "numbers": numbers,
            "rows": list(zip(numbers.days, numbers.chats, numbers.votes, numbers.active_users, strict=True))[
                ::-1
            ],
            "plots": _plots(numbers),
        }
        return TemplateResponse(request, "admin/arena/statistics.html", context)


@require_POST
def _publish(request: HttpRequest) -> HttpResponse:
    try:
        snapshot = publishing.publish(published_by=_operator(request))
        messages.success(request, f"Published board {snapshot.pk} of {snapshot.votes} votes.")
    except Refused as error:
        messages.error(request, str(error))
    return HttpResponseRedirect(reverse("admin:arena_snapshot_changelist"))


def _operator(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


class Drawn(NamedTuple):
    title: str
    svg: str
    """Empty where there is nothing to draw."""


def _plots(numbers: statistics.Daily) -> list[Drawn]:
    labels = [f"{day:%d %b}" for day in numbers.days]
    told = (
        ("Conversations", numbers.chats),
        ("Votes", numbers.votes),
        ("Active people", numbers.active_users),
    )
    drawn = [
        (
            title,
            plots.lines(labels, [plots.Series(title, [float(n) for n in values])], title=title, counts=True),
        )
        for title, values in told
    ]
    drawn.append(
        _bars("Replies of each chat model", [(name, replies) for name, replies, _ in numbers.models])
    )
    drawn.append(_bars("Votes on each chat model", [(name, votes) for name, _, votes in numbers.models]))
    return [Drawn(title, mark_safe(svg)) for title, svg in drawn]  # noqa: S308 - `plots` escapes every name


def _bars(title: str, counts: list[tuple[str, int]]) -> tuple[str, str]:
    most = sorted((one for one in counts if one[1]), key=lambda one: -one[1])[:IN_BARS]
    rows = [plots.Bar(name, number, str(number)) for name, number in most]
    return title, plots.bars(rows, title=title) if rows else ""
