"""Settings that a person keeps under a name."""

from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from arena.errors import InvalidValue, NotFound
from arena.models import Preset
from arena.services.conversations import SettingsChange
from chatsite.accounts.models import User

MOST = 50


@transaction.atomic
def save(*, owner: User, name: str, settings: SettingsChange, default: bool) -> Preset:
    """Keep `settings` under `name`; a preset of that name is overwritten."""
    User.objects.select_for_update().filter(pk=owner.pk).values_list("pk").first()
    name = " ".join("".join(sign if sign.isprintable() else " " for sign in name).split())
    if not name:
        raise InvalidValue(_("Give the preset a name."), field="name")
    preset = Preset.objects.filter(owner=owner, name=name).first() or Preset(owner=owner, name=name)
    if preset._state.adding and Preset.objects.filter(owner=owner).count() >= MOST:
        raise InvalidValue(
            _("You have %(number)d presets, which is as many as are possible. Delete one first.")
            % {"number": MOST},
            field="name",
        )
    values: Mapping[str, object] = settings
    for field in ("system_prompt", "temperature", "top_p", "max_tokens"):
        value = values.get(field)
        setattr(preset, field, "" if field == "system_prompt" and value is None else value)
    if default:
        Preset.objects.filter(owner=owner, default=True).exclude(pk=preset.pk).update(default=False)
    preset.default = default
    try:
        preset.clean_fields(exclude=["owner"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidValue(" ".join(messages), field=field) from None
    preset.save()
    return preset


def delete(*, owner: User, preset_id: int) -> None:
    gone, _rows = Preset.objects.filter(owner=owner, pk=preset_id).delete()
    if not gone:
        raise NotFound(_("This preset does not exist (any more)."), field="preset")
