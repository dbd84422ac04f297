"""Step: keep or skip languages. Which language a text is in is told by a function that the caller chooses."""

from collections.abc import Callable

from training.data.records import BadRow

Detector = Callable[[str], str]
"""Text → ISO 639-1 code, or "" when it cannot tell."""

READ = 4000
"""Characters that are looked at; a language shows early."""


def check_language(text: str, detect: Detector, keep: tuple[str, ...], skip: tuple[str, ...]) -> None:
    """Raises `BadRow` for a language that is not wanted. One that is not told ("unknown") is kept only by name."""
    if not keep and not skip:
        return
    found = detect(text[:READ]) or "unknown"
    if (keep and found not in keep) or found in skip:
        raise BadRow("language", f"The language is {found}.")
