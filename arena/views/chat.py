"""The chat pages: each view fetches with permission, calls one service, and responds."""

import uuid

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from arena.errors import Busy, InvalidValue, NotFound
from arena.forms import SettingsForm
from arena.models import Conversation, Preset
from arena.selectors import chat_models, searching
from arena.selectors import conversations as selectors
from arena.services import conversations
from arena.views.members import for_members, member

LISTED_AT_ONCE = 60
FEEDBACK_REASONS = (
    ("correct", _("correct")),
    ("useful", _("useful")),
    ("complete", _("complete")),
    ("clear", _("clear")),
    ("incorrect", _("incorrect")),
    ("superficial", _("superficial")),
    ("off_topic", _("off topic")),
    ("too_long", _("too long")),
    ("harmful", _("harmful")),
)
LONGEST_LIST = 6000


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    return redirect("arena:chat" if request.user.is_authenticated else "accounts:login")


@require_safe
@for_members
def chat(request: HttpRequest) -> HttpResponse:
    """The page of a conversation that does not exist yet."""
    return _chat_page(request, None)


@require_safe
@for_members
def conversation(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    return _chat_page(request, _owned(request, conversation_id))


@require_safe
@for_members
def turns(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """The turns alone, for a page that has heard that they changed."""
    opened = _owned(request, conversation_id)
    context = {"conversation": opened, "turns": selectors.turns(opened)}
    return render(request, "arena/partials/turns.html", context)


@require_safe
@for_members
def sidebar(request: HttpRequest) -> HttpResponse:
    if query := request.GET.get("q", "").strip():
        found = searching.search(member(request), query)
        return render(request, "arena/partials/found.html", {"found": found, "query": query})
    return render(request, "arena/partials/sidebar.html", _sidebar_context(request))


@require_POST
@for_members
def rename(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    try:
        renamed = conversations.rename(
            owner=member(request), conversation_id=conversation_id, title=request.POST.get("title", "")
        )
    except NotFound as error:
        raise Http404 from error
    except InvalidValue as error:
        return HttpResponse(f"{error.field}: {error.message}", status=422, content_type="text/plain")
    return render(request, "arena/partials/sidebar_item.html", {"conversation": renamed})


@require_POST
@for_members
def pin(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    try:
        conversations.pin(
            owner=member(request),
            conversation_id=conversation_id,
            pinned=request.POST.get("pinned") == "true",
        )
    except NotFound as error:
        raise Http404 from error
    return render(request, "arena/partials/sidebar.html", _sidebar_context(request))


@require_POST
@for_members
def folder(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    try:
        conversations.put_into_folder(
            owner=member(request), conversation_id=conversation_id, folder=request.POST.get("folder", "")
        )
    except NotFound as error:
        raise Http404 from error
    except InvalidValue as error:
        return HttpResponse(error.message, status=422, content_type="text/plain")
    return render(request, "arena/partials/sidebar.html", _sidebar_context(request))


@require_POST
@for_members
def show_version(request: HttpRequest, message_id: int) -> HttpResponse:
    try:
        shown = conversations.show_version(owner=member(request), message_id=message_id)
    except (NotFound, OverflowError) as error:
        raise Http404 from error
    except Busy as error:
        messages.warning(request, error.message)
        shown = selectors.owned_message(owner=member(request), message_id=message_id).conversation
    return redirect(f"{reverse('arena:conversation', args=[shown.pk])}#message-{message_id}")


@require_POST
@for_members
def delete(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    try:
        conversations.delete(owner=member(request), conversation_id=conversation_id)
    except NotFound as error:
        raise Http404 from error
    if request.POST.get("open") == str(conversation_id):
        return HttpResponseClientRedirect(reverse("arena:chat"))
    return HttpResponse()


def _owned(request: HttpRequest, conversation_id: uuid.UUID) -> Conversation:
    try:
        return selectors.owned_conversation(owner=member(request), conversation_id=conversation_id)
    except NotFound as error:
        raise Http404 from error


def _sidebar_context(request: HttpRequest) -> dict[str, object]:
    limit = _list_limit(request)
    listed = selectors.sidebar(member(request), limit=limit + 1)
    return {
        "conversations": listed[:limit],
        "conversation_groups": selectors.grouped_by_day(listed[:limit]),
        "folders": selectors.folders(member(request)),
        # None when the list is whole.
        "longer_list": limit + LISTED_AT_ONCE if len(listed) > limit else None,
    }


def _list_limit(request: HttpRequest) -> int:
    asked = request.GET.get("limit", "")
    limit = int(asked) if asked.isascii() and asked.isdigit() and len(asked) <= 6 else LISTED_AT_ONCE
    return min(max(limit, LISTED_AT_ONCE), LONGEST_LIST)


def _chat_page(request: HttpRequest, opened: Conversation | None) -> HttpResponse:
    choices = chat_models.choices()
    presets = list(Preset.objects.filter(owner=member(request)))
    context = {
        **_sidebar_context(request),
        "conversation": opened,
        "turns": selectors.turns(opened) if opened else [],
        "chat_models": choices,
        "chosen_model": chat_models.chosen(opened, choices, owner=member(request)),
        "settings_form": SettingsForm(instance=opened or _with_default_preset(presets)),
        "presets": presets,
        "reasons": FEEDBACK_REASONS,
    }
    return render(request, "arena/chat.html", context)


def _with_default_preset(presets: list[Preset]) -> Conversation:
    """What a new conversation begins with."""
    new = Conversation()
    default = next((preset for preset in presets if preset.default), None)
    if default is not None:
        for field in ("system_prompt", "temperature", "top_p", "max_tokens"):
            setattr(new, field, getattr(default, field))
    return new
