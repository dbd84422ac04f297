"""Asks an OpenAI-compatible moderation endpoint.

POST {"input": text} is answered by {"results": [{"flagged", "categories"}]}.

Source of the format: OpenAI's API reference, "Moderations". Off unless `CHATSITE_ARENA_MODERATORS` names `check`.
"""

import json
import logging
import urllib.request
from collections.abc import Sequence

from django.conf import settings

from arena.moderation.findings import Finding

logger = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds
LONGEST_ANSWER = 1_000_000  # bytes


def check(text: str) -> Sequence[Finding]:
    """What the endpoint flags is refused. One that does not answer is logged and finds nothing."""
    if not settings.ARENA_MODERATION_URL:
        return []
    try:
        return read(_ask(text), text)
    except (OSError, ValueError) as error:
        logger.error("The moderation endpoint did not answer as it should: %s", error)
        return []


def read(answer: object, text: str) -> list[Finding]:
    """Raises `ValueError` for what is no moderation result."""
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise ValueError("its answer has no list of results")
    findings = []
    for result in results:
        if result.get("flagged") is True:
            categories = result.get("categories")
            named = (
                [name for name, found in categories.items() if found] if isinstance(categories, dict) else []
            )
            reason = f"Flagged as {', '.join(sorted(named))}" if named else "Flagged"
            findings.append(Finding(reason[:500], text[:200], refuse=True))
    return findings


def _ask(text: str) -> object:
    headers = {"Content-Type": "application/json"}
    if settings.ARENA_MODERATION_KEY:
        headers["Authorization"] = f"Bearer {settings.ARENA_MODERATION_KEY}"
    body = json.dumps({"input": text}).encode()
    # The address is the operator's own setting, and its scheme is checked there.
    request = urllib.request.Request(settings.ARENA_MODERATION_URL, data=body, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310
        return json.loads(response.read(LONGEST_ANSWER))
