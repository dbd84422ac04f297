"""The arena's pages: anonymous battles, named comparisons, the vote, and what a link to a battle shows."""

import uuid

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from arena.errors import NotFound
from arena.forms import SettingsForm
from arena.models import Battle, Vote
from arena.sealing import opened_text
from arena.selectors import battles as selectors
from arena.selectors import chat_models
from arena.services import battles, examples, moderation, terms, votes
from arena.views.answers import answering_json
from arena.views.members import for_members, member
from chatsite.net import client_address
from workers.models import ChatModel


@require_safe
@for_members
def anonymous(request: HttpRequest) -> HttpResponse:
    """A battle that has not begun."""
    return _page(request, None, Battle.Mode.ANONYMOUS)


@require_safe
@for_members
def side_by_side(request: HttpRequest) -> HttpResponse:
    return _page(request, None, Battle.Mode.SIDE_BY_SIDE)


@require_safe
@for_members
def battle(request: HttpRequest, battle_id: uuid.UUID) -> HttpResponse:
    try:
        owned = selectors.owned_battle(owner=member(request), battle_id=battle_id)
    except NotFound as error:
        raise Http404 from error
    return _page(request, owned, owned.mode)


@require_safe
@for_members
@answering_json
def state(request: HttpRequest, battle_id: uuid.UUID) -> HttpResponse:
    """How far a battle is, for an open page that may have missed something."""
    owned = selectors.owned_battle(owner=member(request), battle_id=battle_id)
    turn, _ = selectors.last_turn(owned)
    return JsonResponse({"turns": turn, "voted": selectors.vote_of(owned) is not None})


@require_safe
@for_members
def history(request: HttpRequest) -> HttpResponse:
    return render(request, "arena/battles.html", {"battles": selectors.recent(member(request), 100)})


@require_safe
@never_cache
def shared(request: HttpRequest, share_key: str) -> HttpResponse:
    """What a link shows to everybody."""
    found = selectors.shared_battle(share_key)
    if found is None:
        raise Http404
    context = {"battle": found, "turns": selectors.turns(found), "vote": selectors.vote_of(found)}
    return render(request, "arena/shared_battle.html", context)


@require_POST
@for_members
def accept_terms(request: HttpRequest) -> HttpResponse:
    terms.accept(user=member(request))
    named = request.POST.get("mode") == Battle.Mode.SIDE_BY_SIDE
    return redirect("arena:side_by_side" if named else "arena:anonymous")


@require_POST
@for_members
@answering_json
def cast_vote(request: HttpRequest, battle_id: uuid.UUID) -> HttpResponse:
    vote = votes.cast_vote(
        owner=member(request),
        battle_id=battle_id,
        choice=request.POST.get("choice", ""),
        reasons=request.POST.getlist("reasons"),
        address=client_address(request),
    )
    return JsonResponse(_opened(vote))


@require_POST
@for_members
@answering_json
def flag(request: HttpRequest, battle_id: uuid.UUID) -> HttpResponse:
    moderation.flag(owner=member(request), battle_id=battle_id, reason=request.POST.get("reason", ""))
    return JsonResponse({"flagged": True})


@require_POST
@for_members
@answering_json
def share(request: HttpRequest, battle_id: uuid.UUID) -> HttpResponse:
    """A link, or with `revoke` none any more."""
    if request.POST.get("revoke"):
        battles.unshare(owner=member(request), battle_id=battle_id)
        return JsonResponse({"link": ""})
    found = battles.share(owner=member(request), battle_id=battle_id)
    return JsonResponse({"link": _link(request, found)})


def _page(request: HttpRequest, opened: Battle | None, mode: str) -> HttpResponse:
    if not terms.accepted(member(request)):
        return render(request, "arena/terms.html", {"terms": terms.current(), "mode": mode})
    turns = selectors.turns(opened) if opened else []
    vote = selectors.vote_of(opened) if opened else None
    choices = chat_models.choices()
    context = {
        "battle": opened,
        "mode": mode,
        "named": mode == Battle.Mode.SIDE_BY_SIDE,
        "turns": turns,
        "vote": vote,
        "opened": _opened(vote) if vote else None,
        "chat_models": choices,
        "alive": sum(choice.served for choice in choices),
        "seeing": sum(choice.served and choice.sees for choice in choices),
        "examples": examples.some(4),
        "settings_form": SettingsForm(),
        "shown_names": _shown_names(opened),
        "share_link": _link(request, opened) if opened and opened.share_key else "",
    }
    return render(request, "arena/battle.html", context)


def _shown_names(battle: Battle | None) -> dict[str, str]:
    """Before the vote nothing that is sealed gets as far as a template's context."""
    if battle is None or not battle.revealed:
        return {"left": "", "right": ""}
    return {"left": battle.left_name, "right": battle.right_name}


def _link(request: HttpRequest, battle: Battle) -> str:
    return request.build_absolute_uri(reverse("arena:shared", args=[battle.share_key]))


def _opened(vote: Vote) -> dict[str, object]:
    """Everything that was sealed, and what became of the vote."""
    battle = vote.battle
    return {
        "choice": vote.choice,
        "choice_label": vote.get_choice_display(),
        "counted": vote.counted,
        "exclusion": vote.get_exclusion_display() if vote.exclusion else "",
        "left": _card(battle.left_name),
        "right": _card(battle.right_name),
        "commitment": battle.commitment,
        "sealed_text": opened_text(
            battle=str(battle.pk), left=battle.left_name, right=battle.right_name, nonce=battle.nonce
        )
        if battle.commitment
        else "",
    }


def _card(name: str) -> dict[str, str]:
    """A chat model for people; one that has left the catalog still has its name."""
    found = ChatModel.objects.filter(name=name).first()
    return {
        "name": name,
        "description": found.description if found else "",
        "licence": found.licence if found else "",
    }
