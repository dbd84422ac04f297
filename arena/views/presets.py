"""Presets of the settings, for the settings panel's script."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from arena.errors import InvalidValue
from arena.models import Preset
from arena.services import presets
from arena.services.conversations import SettingsChange
from arena.views.answers import answering_json
from arena.views.members import for_members, member


@require_POST
@for_members
@answering_json
def save(request: HttpRequest) -> HttpResponse:
    settings: SettingsChange = {
        "system_prompt": request.POST.get("system_prompt", ""),
        "temperature": _number(request, "temperature"),
        "top_p": _number(request, "top_p"),
        "max_tokens": _whole_number(request, "max_tokens"),
    }
    saved = presets.save(
        owner=member(request),
        name=request.POST.get("name", ""),
        settings=settings,
        default=request.POST.get("default") == "true",
    )
    return JsonResponse(_described(saved))


@require_POST
@for_members
@answering_json
def delete(request: HttpRequest, preset_id: int) -> HttpResponse:
    presets.delete(owner=member(request), preset_id=preset_id)
    return JsonResponse({"deleted": True})


def _described(preset: Preset) -> dict[str, object]:
    fields = ("id", "name", "system_prompt", "temperature", "top_p", "max_tokens", "default")
    return {field: getattr(preset, field) for field in fields}


def _number(request: HttpRequest, field: str) -> float | None:
    entry = request.POST.get(field, "").strip()
    if not entry:
        return None
    try:
        value = float(entry)
    except ValueError:
        value = float("nan")
    if not -1e9 < value < 1e9:  # false for NaN and infinity as well
        raise InvalidValue(_("%(field)s must be a number, or empty.") % {"field": field}, field=field)
    return value


def _whole_number(request: HttpRequest, field: str) -> int | None:
    value = _number(request, field)
    if value is not None and value != int(value):
        raise InvalidValue(_("%(field)s must be a whole number, or empty.") % {"field": field}, field=field)
    return None if value is None else int(value)
