"""Links to conversations, and files of them: each view fetches with permission, calls one service, and responds."""

import uuid

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from arena import exporting
from arena.errors import InvalidValue, NotFound
from arena.models import Conversation
from arena.selectors import conversations
from arena.selectors import sharing as selectors
from arena.services import sharing
from arena.views.members import for_members, member

FORMATS = {
    "markdown": (exporting.as_markdown, "md", "text/markdown"),
    "json": (exporting.as_json, "json", "application/json"),
}


@require_safe
@for_members
def manage(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Where one shares a conversation and takes it away as a file."""
    conversation = _owned(request, conversation_id)
    share = selectors.share_of(conversation)
    return render(request, "arena/share.html", {"conversation": conversation, "share": share})


@require_POST
@for_members
def share(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    try:
        sharing.share(owner=member(request), conversation_id=conversation_id)
    except NotFound as error:
        raise Http404 from error
    except InvalidValue as error:
        return HttpResponse(error.message, status=422, content_type="text/plain")
    return redirect("arena:manage_share", conversation_id)


@require_POST
@for_members
def revoke(request: HttpRequest, conversation_id: uuid.UUID) -> HttpResponse:
    try:
        sharing.revoke(owner=member(request), conversation_id=conversation_id)
    except NotFound as error:
        raise Http404 from error
    return redirect("arena:links")


@require_safe
@for_members
def links(request: HttpRequest) -> HttpResponse:
    return render(request, "arena/links.html", {"links": selectors.links(member(request))})


@require_safe
@never_cache
def shared(request: HttpRequest, key: str) -> HttpResponse:
    """What a link shows to everybody who has it."""
    try:
        found = selectors.shared(key)
    except NotFound as error:
        raise Http404 from error
    context = {"share": found, "lines": selectors.shared_lines(found)}
    return render(request, "arena/shared_conversation.html", context)


@require_POST
@for_members
def copy(request: HttpRequest, key: str) -> HttpResponse:
    try:
        copied = sharing.copy(owner=member(request), key=key)
    except NotFound as error:
        raise Http404 from error
    return redirect("arena:conversation", copied.pk)


@require_safe
@for_members
def export(request: HttpRequest, conversation_id: uuid.UUID, kind: str) -> HttpResponse:
    """The branch that is shown, as a file."""
    conversation = _owned(request, conversation_id)
    if kind not in FORMATS:
        raise Http404
    write, ending, content_type = FORMATS[kind]
    text = write(str(conversation), _said(conversation))
    name = f"conversation-{conversation.pk.hex[:8]}.{ending}"
    return HttpResponse(
        text,
        content_type=f"{content_type}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _said(conversation: Conversation) -> list[exporting.Said]:
    said: list[exporting.Said] = []
    for message, reply in selectors.shown_lines(conversation):
        written = message.created_at.isoformat()
        said.append({"role": "user", "content": message.text, "chat_model": "", "created_at": written})
        if reply:
            said.append(
                {
                    "role": "assistant",
                    "content": reply.text,
                    "chat_model": reply.chat_model_name,
                    "created_at": reply.created_at.isoformat(),
                }
            )
    return said


def _owned(request: HttpRequest, conversation_id: uuid.UUID) -> Conversation:
    try:
        return conversations.owned_conversation(owner=member(request), conversation_id=conversation_id)
    except NotFound as error:
        raise Http404 from error
