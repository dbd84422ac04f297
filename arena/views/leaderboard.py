"""The leaderboard's pages: read the wish, ask one selector, respond. Public if the operator says so."""

import csv
from collections.abc import Callable, Iterable
from typing import Any, Concatenate, ParamSpec

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from arena.boards import pages
from arena.boards.solving import Board
from arena.errors import InvalidValue
from arena.models import Snapshot
from arena.selectors import leaderboard
from arena.services import background
from arena.views.members import for_members

SOCKET = "/ws/leaderboard/"

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def for_readers(view: View[P]) -> View[P]:
    """Everybody where the leaderboard is public, else people who are signed in."""
    members_only = for_members(view)

    @require_safe
    def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        return (view if settings.PUBLIC_LEADERBOARD else members_only)(request, *args, **kwargs)

    return checked


@for_readers
def board(request: HttpRequest) -> HttpResponse:
    """The whole page, or for htmx the part below the title."""
    try:
        query = leaderboard.query_from(request.GET.dict())
    except InvalidValue as error:
        return _refused(request, error)
    answer = background.board(query)
    solved = answer.board or Board()
    lines = leaderboard.shown(solved)
    context = {
        "query": query,
        "answer": answer,
        "spread": leaderboard.spread(query),
        "wishes": _kept(request),
        "slices": leaderboard.slices(),
        "board": solved,
        "lines": lines,
        "page": pages.build(solved, lines),
        "socket": SOCKET,
    }
    part = request.headers.get("HX-Request")
    return render(request, "arena/leaderboard/board.html" if part else "arena/leaderboard/page.html", context)


@for_readers
def over_time(request: HttpRequest) -> HttpResponse:
    """The plot of ratings by month, read after the page, since it solves one board a month."""
    try:
        query = leaderboard.query_from(request.GET.dict())
    except InvalidValue as error:
        return _refused(request, error)
    months, ratings = leaderboard.over_time(query)
    return render(
        request,
        "arena/leaderboard/over_time.html",
        {"history": pages.history(months, ratings), "months": months},
    )


@for_readers
def board_csv(request: HttpRequest) -> HttpResponse:
    try:
        solved = background.board(leaderboard.query_from(request.GET.dict())).board
    except InvalidValue as error:
        return HttpResponse(f"{error.field}: {error.message}", status=400, content_type="text/plain")
    return _csv("leaderboard.csv", pages.table(leaderboard.shown(solved))) if solved else _later()


@for_readers
def pairs_csv(request: HttpRequest) -> HttpResponse:
    """Every ordered pair that met, the hidden chat models left out."""
    try:
        solved = background.board(leaderboard.query_from(request.GET.dict())).board
    except InvalidValue as error:
        return HttpResponse(f"{error.field}: {error.message}", status=400, content_type="text/plain")
    return _csv("pairs.csv", pages.pairs(solved, leaderboard.shown(solved))) if solved else _later()


@for_readers
def log(request: HttpRequest) -> HttpResponse:
    context = {"changes": leaderboard.log(), "snapshots": leaderboard.snapshots()}
    return render(request, "arena/leaderboard/log.html", context)


@for_readers
def snapshot(request: HttpRequest, snapshot_id: int) -> HttpResponse:
    found = get_object_or_404(Snapshot, pk=snapshot_id)
    hidden = leaderboard.hidden_names()
    rows = [row for row in found.rows if row["name"] not in hidden]
    return render(request, "arena/leaderboard/snapshot.html", {"snapshot": found, "rows": rows})


def _kept(request: HttpRequest) -> str:
    """The address's own wishes, for the links to the files of the same board."""
    wanted = request.GET.copy()
    for name in set(wanted) - {"language", "category", "since", "until", "style"}:
        del wanted[name]
    return wanted.urlencode()


def _refused(request: HttpRequest, error: InvalidValue) -> HttpResponse:
    context: dict[str, Any] = {"error": error, "slices": leaderboard.slices(), "title": _("Leaderboard")}
    if request.headers.get("HX-Request"):
        return render(request, "arena/leaderboard/refused.html", context, status=422)
    return render(request, "arena/leaderboard/refused_page.html", context, status=400)


def _later() -> HttpResponse:
    sentence = _("This board is being solved. Ask again in a few seconds.")
    return HttpResponse(sentence, status=503, content_type="text/plain", headers={"Retry-After": "5"})


def _csv(name: str, rows: Iterable[Iterable[object]]) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    writer = csv.writer(response)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return response


def _safe(cell: object) -> object:
    """A spreadsheet would run a name that starts like a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
