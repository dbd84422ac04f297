"""Who is calling: one code path for every header that carries a key."""

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from chatsite.accounts.models import ApiKey, User
from chatsite.accounts.services import access, api_keys, quotas
from chatsite.net import client_address
from workers.api import caller
from workers.api.errors import Forbidden, Unauthenticated, over_limit

HOW = "Send your key in a header: 'Authorization: Bearer sk-…'. Keys are made on the settings page."


class BearerKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY`; or `x-api-key: KEY`, as Anthropic's clients send it; or `api-key: KEY`, as Azure's.

    A rule for keys belongs behind `read_key`, where it holds for all of them.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey]:
        api_key = _of_the_server_itself(request) or api_keys.authenticate(read_key(request))
        if api_key is None:
            raise Unauthenticated(f"This API key is wrong, revoked or expired. {HOW}")
        return api_key.owner, api_key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def on_behalf_of(api_key: ApiKey, request: HttpRequest) -> None:
    """Let a request that the server makes itself (a line of a batch) act for the key, which it cannot know."""
    request._api_key = api_key  # type: ignore[attr-defined]


def _of_the_server_itself(request: Request) -> ApiKey | None:
    # An attribute of the object: nothing that comes over the network can set it.
    return getattr(request._request, "_api_key", None)


def check_access(request: Request) -> caller.Caller:
    """Everything that a key's restrictions and limits say about the request. Raises `ApiError`."""
    api_key = api_key_of(request)
    own = _of_the_server_itself(request) is not None
    who = caller.Caller(api_key, resumes=own, limited=not own)
    try:
        if not own:
            address = client_address(request._request)
            access.check(api_key=api_key, family=access.family_of(request.path), address=address)
        who.count_request()
    except access.Refused as refusal:
        raise Forbidden(str(refusal)) from None
    except quotas.OverLimit as error:
        raise over_limit(error) from None
    return who


def read_key(request: Request) -> str:
    """The one key of the request. Raises `Unauthenticated` when there is none or when there are two."""
    keys: set[str] = set()
    if authorization := str(request.META.get("HTTP_AUTHORIZATION", "")).strip():
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthenticated(f"The Authorization header is not a Bearer key. {HOW}")
        keys.add(key.strip())
    for header in ("HTTP_X_API_KEY", "HTTP_API_KEY"):
        if key := request.META.get(header, "").strip():
            keys.add(key)
    if not keys:
        raise Unauthenticated(f"You did not provide an API key. {HOW}")
    if len(keys) > 1:
        # Which one counts would otherwise be a rule that two programs can read differently.
        raise Unauthenticated(
            "The Authorization, x-api-key and api-key headers hold different keys. Send one of them."
        )
    return keys.pop()


def api_key_of(request: Request) -> ApiKey:
    """The key that let the request in."""
    assert isinstance(request.auth, ApiKey)  # BearerKeyAuthentication's
    return request.auth


def owner_of(request: Request) -> User:
    """Whose key it is: everything that the request makes or sees is theirs."""
    return api_key_of(request).owner
