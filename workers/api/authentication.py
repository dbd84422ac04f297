"""Who is calling: one code path for both headers that carry a key."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from chatsite.accounts.models import ApiKey, User
from chatsite.accounts.services import api_keys
from workers.api.errors import Unauthenticated

HOW = "Send your key in a header: 'Authorization: Bearer sk-…'. Keys are made on the settings page."


class BearerKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY`, or `x-api-key: KEY` as Anthropic's clients send it.

    A rule for keys belongs behind `read_key`, where it holds for both headers.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey]:
        api_key = api_keys.authenticate(read_key(request))
        if api_key is None:
            raise Unauthenticated(f"This API key is wrong, revoked or expired. {HOW}")
        return api_key.owner, api_key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def read_key(request: Request) -> str:
    """The one key of the request. Raises `Unauthenticated` when there is none or when there are two."""
    keys: set[str] = set()
    if authorization := str(request.META.get("HTTP_AUTHORIZATION", "")).strip():
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthenticated(f"The Authorization header is not a Bearer key. {HOW}")
        keys.add(key.strip())
    if key := request.META.get("HTTP_X_API_KEY", "").strip():
        keys.add(key)
    if not keys:
        raise Unauthenticated(f"You did not provide an API key. {HOW}")
    if len(keys) > 1:
        # Which one counts would otherwise be a rule that two programs can read differently.
        raise Unauthenticated(
            "The Authorization and x-api-key headers hold different keys. Send one of them."
        )
    return keys.pop()
