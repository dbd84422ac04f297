"""Numbers of a run, for people. What is no number is a dash."""

from django import template

from workers.admin import live

register = template.Library()


@register.filter
def figure(value: object) -> str:
    """Four digits that count, whatever the size."""
    return f"{value:.4g}" if _number(value) else "–"


@register.filter
def bytes(value: object) -> str:  # noqa: A001 - its name in templates
    return live.size(int(value)) if _number(value) else "–"  # type: ignore[call-overload]


@register.filter
def duration(value: object) -> str:
    return live.duration(float(value)) if _number(value) else "–"  # type: ignore[arg-type]


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
