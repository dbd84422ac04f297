"""Where a request comes from. Believes a proxy's header only as far as `settings.TRUSTED_PROXIES` says."""

import ipaddress
from typing import Final

from django.conf import settings
from django.http import HttpRequest

UNKNOWN: Final = "unknown"
# What one subscriber gets: a limit per IPv6 address would let one person have 2**64 of them.
IPV6_SUBSCRIBER: Final = 64


def client_address(request: HttpRequest) -> str:
    """The client's IP address in its one canonical form, or `UNKNOWN` (a server behind a unix socket, no proxy).

    Every proxy appends the address it was called from to `X-Forwarded-For`, so with n trusted proxies the n-th
    entry from the right was written by the outermost of them. What stands left of it is the client's own claim.
    A header that is shorter, or holds no address there, did not come through all of them and is not believed.
    """
    connected = _parse(request.META.get("REMOTE_ADDR") or "") or UNKNOWN
    if not settings.TRUSTED_PROXIES:
        return connected
    # Django joins repeated headers with a comma in the order of their arrival.
    claimed = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if len(claimed) < settings.TRUSTED_PROXIES:
        return connected
    return _parse(claimed[-settings.TRUSTED_PROXIES]) or connected


def subscriber(address: str) -> str:
    """What to count attempts by: the address itself, or for IPv6 the network that one subscriber is given."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(ipaddress.ip_network((int(parsed), IPV6_SUBSCRIBER), strict=False))


def _parse(text: str) -> str:
    """One canonical spelling per address; "" for what is none. Some proxies add the port."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)
