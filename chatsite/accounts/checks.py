"""Settings that are fine one by one and unsafe, or useless, together."""

import ipaddress
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004 - Django's name for it


@register(Tags.security)
def check_reachability(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if "*" in settings.ALLOWED_HOSTS:
        found.append(
            Warning(
                "CHATSITE_ALLOWED_HOSTS=* accepts any host name, and mails with a link to set a new password carry "
                "the name that the request came with: a stranger can have one sent that leads to their own site.",
                hint="Name the hosts, for example CHATSITE_ALLOWED_HOSTS=chat.example.org",
                id="accounts.W001",
            )
        )
    public = [host for host in settings.ALLOWED_HOSTS if _is_public(host)]
    if public and not settings.HTTPS:
        found.append(
            Warning(
                f"The site is reached as {public[0]}, but CHATSITE_HTTPS is not set: passwords, keys and cookies "
                "cross the network in the clear.",
                hint="Put a proxy with TLS in front, and set CHATSITE_HTTPS=true and CHATSITE_TRUSTED_PROXIES=1",
                id="accounts.W002",
            )
        )
    if settings.HTTPS and not settings.TRUSTED_PROXIES:
        found.append(
            Warning(
                "CHATSITE_HTTPS is true, but CHATSITE_TRUSTED_PROXIES is 0: behind a proxy every form is refused "
                "(its origin is https, the request looks like http) and all people share the attempts of one "
                "address.",
                hint="Set CHATSITE_TRUSTED_PROXIES to the number of proxies in front, for example 1",
                id="accounts.W003",
            )
        )
    return found


def _is_public(host: str) -> bool:
    """Whether browsers elsewhere reach the site by this entry of ALLOWED_HOSTS."""
    name = host.strip("[].").lower()
    if name == "*" or name == "localhost" or name.endswith(".localhost"):
        return False
    try:
        return ipaddress.ip_address(name).is_global
    except ValueError:
        # A name without a dot, or of these zones, is of a local network.
        return "." in name and not name.endswith((".local", ".lan", ".internal", ".home.arpa", ".test"))
