"""What a person does with one answer in the chat: rates it, flags it, looks at how it came about."""

import uuid

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from arena.errors import InvalidValue, NotFound
from arena.selectors import replies as selectors
from arena.services import feedback
from arena.views.answers import answering_json
from arena.views.members import for_members, member

VERDICTS = {"good": True, "bad": False, "none": None}


@require_POST
@for_members
@answering_json
def rate(request: HttpRequest, reply_id: uuid.UUID) -> HttpResponse:
    verdict = request.POST.get("verdict", "")
    if verdict not in VERDICTS:
        raise InvalidValue(_("verdict must be one of good, bad and none."), field="verdict")
    feedback.rate(
        owner=member(request),
        reply_id=reply_id,
        good=VERDICTS[verdict],
        reasons=request.POST.getlist("reasons"),
        comment=request.POST.get("comment", ""),
    )
    return JsonResponse({"verdict": verdict})


@require_POST
@for_members
@answering_json
def flag(request: HttpRequest, reply_id: uuid.UUID) -> HttpResponse:
    feedback.flag(owner=member(request), reply_id=reply_id, reason=request.POST.get("reason", ""))
    return JsonResponse({"flagged": True})


@require_safe
@for_members
def probabilities(request: HttpRequest, reply_id: uuid.UUID) -> HttpResponse:
    """The answer token by token, each with what else could have stood there."""
    try:
        tokens = selectors.token_probabilities(owner=member(request), reply_id=reply_id)
    except NotFound as error:
        raise Http404 from error
    return render(request, "arena/partials/probabilities.html", {"tokens": tokens})
