"""What a key may be used for: which endpoints, which chat models, from where. One place, whatever header it came in."""

import ipaddress
from collections.abc import Iterable
from typing import Final

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chatsite.accounts.models import ApiKey

# The groups that a key can be restricted to, by the first part of the address behind /v1/.
FAMILIES: Final = {
    "models": gettext_lazy("Models (list)"),
    "chat": gettext_lazy("Chat completions"),
    "completions": gettext_lazy("Completions"),
    "embeddings": gettext_lazy("Embeddings"),
    "responses": gettext_lazy("Responses"),
    "messages": gettext_lazy("Messages (Anthropic)"),
    "files": gettext_lazy("Files"),
    "batches": gettext_lazy("Batches"),
    "fine_tuning": gettext_lazy("Fine-tuning"),
    "moderations": gettext_lazy("Moderations"),
    "tokenize": gettext_lazy("Tokenize and detokenize"),
}
_SAME_FAMILY: Final = {"detokenize": "tokenize", "token_check": "tokenize"}

MOST_ENTRIES: Final = 100


class Refused(Exception):  # noqa: N818 - reads as what happened
    """The key is good, but not for this. The text is a sentence for the caller."""


def family_of(path: str) -> str:
    """The family of an address such as `/v1/chat/completions`. An address nobody grouped is a family of its own."""
    first = path.removeprefix("/api").removeprefix("/v1/").split("/", 1)[0]
    return _SAME_FAMILY.get(first, first)


def check(*, api_key: ApiKey, family: str, address: str) -> None:
    """Raise `Refused` when the key may not be used from `address`, or not for `family`."""
    if api_key.allowed_addresses and not _within(address, api_key.allowed_addresses):
        raise Refused("This key may not be used from your network address.")
    if api_key.allowed_families and family not in api_key.allowed_families:
        allowed = ", ".join(api_key.allowed_families)
        raise Refused(f"This key may not be used for '{family}'. It is for: {allowed}.")


def may_use(*, api_key: ApiKey, chat_model: str) -> bool:
    return not api_key.allowed_models or chat_model in api_key.allowed_models


def clean_families(values: Iterable[str]) -> list[str]:
    """Raises `ValidationError` for a family that is none."""
    chosen = list(dict.fromkeys(values))
    if unknown := [value for value in chosen if value not in FAMILIES]:
        raise ValidationError(_("“%(value)s” is no group of endpoints.") % {"value": unknown[0]})
    return chosen


def clean_networks(values: Iterable[str]) -> list[str]:
    """Each network in its one spelling (a lone address is a network of one). Raises `ValidationError`."""
    networks = []
    for value in values:
        try:
            networks.append(str(ipaddress.ip_network(value, strict=False)))
        except ValueError:
            raise ValidationError(
                _("“%(value)s” is no network. Write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32.")
                % {"value": value[:60]}
            ) from None
    return _bounded(networks)


def clean_models(values: Iterable[str]) -> list[str]:
    return _bounded([value[:200] for value in values])


def _bounded(values: list[str]) -> list[str]:
    if len(values) > MOST_ENTRIES:
        raise ValidationError(_("At most %(count)d entries.") % {"count": MOST_ENTRIES})
    return list(dict.fromkeys(values))


def _within(address: str, networks: list[str]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in ipaddress.ip_network(network) for network in networks)
