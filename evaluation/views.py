"""The evaluation pages: each view fetches with permission, calls one selector or service, and responds."""

import uuid

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from arena.views.members import for_members, member
from evaluation.models import EvaluationRun
from evaluation.report.questions import Browser
from evaluation.report.report import build
from evaluation.selectors import people, reading
from evaluation.services import judging

PER_PAGE = 30
MOST_COMPARED = 8


@require_safe
@for_members
def runs(request: HttpRequest) -> HttpResponse:
    page = Paginator(reading.listed(member(request)), PER_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "may_judge": people.may_judge(member(request))}
    return render(request, "evaluation/runs.html", context)


@require_safe
@for_members
def run(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    found = _readable(request, run_id)
    report = reading.report_of(found, lambda position: _address(run_id, position))
    context = {"run": found, "report": report, "may_judge": people.may_judge(member(request))}
    return render(request, "evaluation/run.html", context)


@require_safe
@for_members
def compare(request: HttpRequest) -> HttpResponse:
    """Several evaluations of the same suite in one report: `?run=…&run=…`."""
    wanted = list(dict.fromkeys(request.GET.getlist("run")))
    if not 2 <= len(wanted) <= MOST_COMPARED:
        return _back_to_runs(
            request, _("Choose from 2 to %(most)s evaluations to compare.") % {"most": MOST_COMPARED}
        )
    found = [_readable(request, _uuid(each)) for each in wanted]
    try:
        material = reading.compared(found)
    except ValueError as error:
        return _back_to_runs(request, str(error))
    newest = max(found, key=lambda each: each.created_at)
    report = build(material, lambda position: _address(newest.pk, position))
    return render(request, "evaluation/compare.html", {"report": report})


@require_safe
@for_members
def progress(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """How far it is; when it has ended the page is loaded again, for its tables."""
    found = _readable(request, run_id)
    response = render(request, "evaluation/partials/progress.html", {"run": found})
    if not found.open:
        response.headers["HX-Refresh"] = "true"
    return response


@require_safe
@for_members
def question(request: HttpRequest, run_id: uuid.UUID, position: int) -> HttpResponse:
    found = _readable(request, run_id)
    if not 1 <= position <= len(found.suite.questions):
        raise Http404
    question_id = str(found.suite.questions[position - 1]["question_id"])
    browser = Browser(reading.material(found, question_id=question_id))
    page = browser.page(position, lambda other: _address(run_id, other))
    return render(request, "evaluation/question.html", {"run": found, "page": page})


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def judge(request: HttpRequest) -> HttpResponse:
    """A pair to judge; the choice comes back by POST, and the next pair follows."""
    person = member(request)
    if not people.may_judge(person):
        raise PermissionDenied
    chosen = _chosen_run(request)
    if request.method == "POST":
        _take(request)
        return redirect(request.get_full_path())
    pair = people.next_pair(person, chosen)
    if pair is None:
        return render(request, "evaluation/judge_done.html", {"run": chosen})
    handed = judging.hand_out(request.session, pair)
    context = {"ticket": handed.ticket, "shown": people.shown(pair, swapped=handed.swapped)}
    return render(request, "evaluation/judge.html", context)


def _take(request: HttpRequest) -> None:
    try:
        handed = judging.take_back(request.session, request.POST.get("ticket", ""))
        judging.record(person=member(request), handed=handed, side=request.POST.get("side", ""))
    except (judging.UnknownTicket, EvaluationRun.DoesNotExist):
        messages.warning(request, _("That pair was too old to count. Here is a fresh one."))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))


def _chosen_run(request: HttpRequest) -> EvaluationRun | None:
    wanted = request.GET.get("run", "")
    if not wanted:
        return None
    try:
        return people.open_runs().get(pk=_uuid(wanted))
    except EvaluationRun.DoesNotExist as error:
        raise Http404 from error


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise Http404 from error


def _back_to_runs(request: HttpRequest, why: str) -> HttpResponse:
    messages.error(request, why)
    return redirect("evaluation:runs")


def _readable(request: HttpRequest, run_id: uuid.UUID) -> EvaluationRun:
    try:
        return reading.one(member(request), run_id)
    except EvaluationRun.DoesNotExist as error:
        raise Http404 from error


def _address(run_id: uuid.UUID, position: int) -> str:
    return reverse("evaluation:question", args=[run_id, position])
