"""Step: personal data. Finds what can be told by its shape; names and stories need a person or a hook of one's own."""

import re
from collections.abc import Callable
from typing import NamedTuple


class Found(NamedTuple):
    kind: str
    start: int
    end: int


Finder = Callable[[str], list[Found]]

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("email", re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")),
    ("key", re.compile(r"\b(?:sk|pk|ghp|gho|xox[abp]|hf|AKIA)[-_]?[A-Za-z0-9_-]{16,}\b")),
    ("iban", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")),
    ("card", re.compile(r"\b(?:\d[ -]?){13,19}\b")),
    ("address", re.compile(r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b")),
    ("phone", re.compile(r"(?<![\w.])\+?\d{1,3}[ /.-]?\(?\d{2,4}\)?(?:[ /.-]?\d{2,4}){2,4}(?!\w|\.\d)")),
)
_MIGHT_HOLD = re.compile(r"@|\d{3}|sk-|pk-|hf_|AKIA|\d\.\d")


def find(text: str) -> list[Found]:
    """Mail addresses, keys, bank and card numbers, network addresses and telephone numbers; none overlap."""
    if not _MIGHT_HOLD.search(text):
        return []
    found: list[Found] = []
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            place = Found(kind, match.start(), match.end())
            if _is_real(kind, match[0]) and not any(
                place.start < other.end and other.start < place.end for other in found
            ):
                found.append(place)
    return sorted(found, key=lambda place: place.start)


def hidden(text: str, finder: Finder = find) -> tuple[str, int]:
    """The text with `[EMAIL]`, `[PHONE]`, … in the place of what was found, and how many there were."""
    places = finder(text)
    parts, at = [], 0
    for place in places:
        parts += [text[at : place.start], f"[{place.kind.upper()}]"]
        at = place.end
    return "".join([*parts, text[at:]]), len(places)


def _is_real(kind: str, text: str) -> bool:
    digits = [int(sign) for sign in text if sign.isdigit()]
    if kind == "card":
        return 13 <= len(digits) <= 19 and _luhn(digits)
    if kind == "iban":
        return _iban(text.replace(" ", ""))
    if kind == "phone":
        # Shorter ones are years, prices and versions.
        return len(digits) >= 10 or (len(digits) >= 8 and text.startswith("+"))
    return True


def _luhn(digits: list[int]) -> bool:
    """The checksum of card numbers (ISO/IEC 7812-1)."""
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _iban(text: str) -> bool:
    """The checksum of account numbers (ISO 13616): 97 divides it with a rest of 1."""
    moved = text[4:] + text[:4]
    return 15 <= len(text) <= 34 and int("".join(str(int(sign, 36)) for sign in moved)) % 97 == 1
