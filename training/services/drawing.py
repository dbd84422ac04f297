"""Training data out of the arena, tidied: for `manage.py data from-arena` and for jobs that learn from it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.utils import timezone
from django.utils.dateparse import parse_date

from training import files
from training.data import formats
from training.data.cleaning import Options, Report, clean
from training.data.records import Record
from training.selectors import arena_data
from training.selectors.arena_data import Wanted

PREFERENCES: Final = "preferences"
CONVERSATIONS: Final = "conversations"
KINDS: Final = (PREFERENCES, CONVERSATIONS)
PERSONAL: Final = ("hide", "drop", "keep")


def draw(*, target: files.Writer, kind: str, wanted: Wanted, personal: str = "hide") -> Report:
    """Write what people have preferred, as far as they agreed to it, and say what became of each row.

    `kind`: pairs of a preferred and another answer, or the preferred side alone. `personal`: what becomes of mail
    addresses, numbers and keys in what people wrote.
    """
    pairs = kind == PREFERENCES
    steps = Options(html="never", check_lists=False, personal_data="" if personal == "keep" else personal)
    report = Report()
    for record in arena_data.preferences(wanted) if pairs else arena_data.conversations(wanted):
        _write(record, "preference" if pairs else "messages", target, steps, report)
    return report


def _write(record: Record, name: str, target: files.Writer, steps: Options, report: Report) -> None:
    report.read += 1
    cleaned = clean(formats.write(record, name), report.read, steps)
    report.changed.update({key: count for key, count in cleaned.changes.items() if count})
    if cleaned.rejected:
        report.dropped[cleaned.rejected.reason] += 1
    for kept in cleaned.records:
        target.write(formats.write(kept, name))
        report.written += 1


def wanted_of(source: Mapping[str, Any]) -> Wanted:
    """A job's `source` as what the selector takes."""
    return Wanted(
        since=start_of(source["since"]) if source.get("since") else None,
        languages=tuple(source.get("languages", ())),
        chat_models=tuple(source.get("winners", ())),
    )


def start_of(text: str) -> datetime:
    """The first moment of a day such as 2026-11-24, in the site's time zone. Raises `ValueError`."""
    found = parse_date(text)
    if found is None:
        raise ValueError(text)
    return timezone.make_aware(datetime(found.year, found.month, found.day))
