"""Asks the site's own moderators, the ones that look at battles. They are named by a setting, not imported."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from workers.api.moderations import protocol
from workers.api.moderations.protocol import ModerationRequest


class Finding(Protocol):
    """What a moderator returns, for each thing it found."""

    @property
    def reason(self) -> str: ...


def moderate(request: ModerationRequest) -> dict[str, Any]:
    moderators = [import_string(name) for name in settings.ARENA_MODERATORS]
    return protocol.answer([protocol.result(_reasons(text, moderators)) for text in request.inputs])


def _reasons(text: str, moderators: Sequence[Callable[[str], Sequence[Finding]]]) -> list[str]:
    return [finding.reason for moderator in moderators for finding in moderator(text)]
