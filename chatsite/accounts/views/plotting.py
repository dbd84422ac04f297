"""The plot of tokens per day, with its words in the reader's language."""

from collections.abc import Sequence
from datetime import date

from django.utils.formats import date_format
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chatsite.accounts.plots import Column, columns


def usage_plot(days: Sequence[tuple[date, int]]) -> SafeString:
    rows = [Column(date_format(day, "MONTH_DAY_FORMAT"), tokens, _title(day, tokens)) for day, tokens in days]
    return mark_safe(columns(rows, title=_("Tokens per day")))  # noqa: S308 - it escapes what it is given


def _title(day: date, tokens: int) -> str:
    text = ngettext("%(day)s: %(count)d token", "%(day)s: %(count)d tokens", tokens)
    return text % {"day": date_format(day, "DATE_FORMAT"), "count": tokens}
