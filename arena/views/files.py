"""Files that go with a message: taken in, shown to their owner, thrown away."""

import uuid

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from arena import attachments
from arena.errors import InvalidValue, NotFound
from arena.models import Attachment
from arena.selectors import attachments as selectors
from arena.services import attachments as services
from arena.views.answers import answering_json
from arena.views.members import for_members, member


@require_POST
@for_members
@answering_json
def upload(request: HttpRequest) -> HttpResponse:
    """One file as form data; the page names it in the message that carries it."""
    sent = request.FILES.get("file")
    if sent is None:
        raise InvalidValue(_("Choose a file."), field="file")
    name = sent.name or "file"
    if sent.size is not None and sent.size > attachments.LARGEST_FILE:
        raise attachments.too_large(name, sent.size, attachments.LARGEST_FILE)
    stored = services.take_in(owner=member(request), name=name, content=sent.read())
    return JsonResponse(
        {
            "id": str(stored.pk),
            "name": stored.name,
            "kind": stored.kind,
            "size": stored.size,
            "characters": len(stored.text),
        },
        status=201,
    )


@require_safe
@for_members
def show(request: HttpRequest, attachment_id: uuid.UUID) -> HttpResponse:
    """The file as it came. Only an image is shown inside the site; anything else is handed out as a file."""
    try:
        found = selectors.owned(owner=member(request), attachment_id=attachment_id)
    except NotFound as error:
        raise Http404 from error
    image = found.kind == Attachment.Kind.IMAGE
    response = HttpResponse(
        bytes(found.content), content_type=found.content_type if image else "application/octet-stream"
    )
    response.headers["Content-Disposition"] = _disposition(found.name, inline=image)
    return response


@require_POST
@for_members
@answering_json
def remove(request: HttpRequest, attachment_id: uuid.UUID) -> HttpResponse:
    services.remove(owner=member(request), attachment_id=attachment_id)
    return JsonResponse({"removed": True})


def _disposition(name: str, *, inline: bool) -> str:
    return content_disposition_header(as_attachment=not inline, filename=name) or "attachment"
