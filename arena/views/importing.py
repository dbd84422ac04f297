"""The page that takes conversations in from other programs."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from arena.errors import InvalidValue
from arena.services import importing_chats
from arena.services.importing_chats import Imported
from arena.views.members import for_members, member

LARGEST_FILE = 100 * 1024 * 1024  # bytes


@require_http_methods(["GET", "HEAD", "POST"])
@for_members
def import_chats(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return render(request, "arena/import.html")
    try:
        imported = importing_chats.import_chats(owner=member(request), content=_sent(request))
    except InvalidValue as error:
        return render(request, "arena/import.html", {"error": error.message}, status=422)
    messages.success(request, _sentence(imported))
    return redirect("arena:chat")


def _sent(request: HttpRequest) -> bytes:
    sent = request.FILES.get("file")
    if sent is None:
        raise InvalidValue(_("Choose a file."), field="file")
    if sent.size is None or sent.size > LARGEST_FILE:
        raise InvalidValue(
            _("This file is larger than %(limit)d MB. Split it.") % {"limit": LARGEST_FILE // 1024**2},
            field="file",
        )
    content: bytes = sent.read()
    return content


def _sentence(imported: Imported) -> str:
    parts = [
        ngettext("%(n)d conversation was imported.", "%(n)d conversations were imported.", imported.added)
        % {"n": imported.added}
    ]
    if imported.known:
        parts.append(
            ngettext("%(n)d was here already.", "%(n)d were here already.", imported.known)
            % {"n": imported.known}
        )
    if imported.left_out:
        parts.append(
            ngettext("%(n)d was empty and left out.", "%(n)d were empty and left out.", imported.left_out)
            % {"n": imported.left_out}
        )
    return " ".join(parts)
