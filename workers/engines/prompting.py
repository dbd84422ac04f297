"""Which prompt format an engine uses: the operator's, else the checkpoint's own, else what its name asks for."""

import logging

from workers import prompt_formats
from workers.chat_template import BadTemplate
from workers.engines.base import EngineError
from workers.prompt_formats import PromptFormat, UnknownFormat

logger = logging.getLogger(__name__)


def format_of(*, wanted: str, brings_its_own: bool, name: str, checkpoint: str) -> PromptFormat | None:
    """None leaves it to the checkpoint's own template.

    `wanted` is a format's name or file, or ""; `name` is the chat model's. Raises `EngineError`.
    """
    if wanted:
        try:
            found = prompt_formats.load(wanted)
            found.template  # noqa: B018 - compiled now, so that a broken one is found before anybody asks
        except (UnknownFormat, BadTemplate) as error:
            raise EngineError(f"template: {error}") from None
        return found
    if brings_its_own:
        return None
    choice = prompt_formats.choose(checkpoint, name)
    logger.warning(
        "%s brings no chat template; it gets the format %s, since %s. --template chooses another.",
        name,
        choice.format.name,
        choice.reason,
    )
    return choice.format
