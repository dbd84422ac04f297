"""Who may call, by which header."""

import re
from typing import Any

import pytest
from django.test import Client

from chatsite.accounts.services import api_keys
from tests.workers.api.conftest import error_of
from training.api.urls import urlpatterns as training_urlpatterns
from workers.api.urls import urlpatterns

pytestmark = pytest.mark.django_db


def every_endpoint() -> list[tuple[str, str]]:
    """(method, path) of each address under /v1, with something made up for its variables."""
    found = []
    for pattern in [*urlpatterns, *training_urlpatterns]:
        path = re.sub(r"<[^>]+>", "made-up", str(pattern.pattern))
        if path == "openapi.json":
            continue  # says how to call, to everybody
        view: Any = pattern.callback.view_class  # type: ignore[attr-defined] # of Django's `as_view`
        found += [(method, f"/v1/{path}") for method in view.http_method_names if hasattr(view, method)]
    return found


def models(**headers: str):
    return Client().get("/v1/models", headers=headers)


@pytest.mark.parametrize(("method", "path"), every_endpoint())
@pytest.mark.parametrize("key", ["", "sk-" + "x" * 43])
def test_no_address_lets_anybody_in_without_a_good_key(parrot, workers_client, method, path, key):
    headers = {"authorization": f"Bearer {key}"} if key else {}

    response = getattr(Client(), method)(path, content_type="application/json", headers=headers)

    assert response.status_code == 401
    if method != "head" and not path.startswith("/v1/messages"):  # Anthropic's have a shape of their own
        assert error_of(response)["code"] == "invalid_api_key"
    assert response["www-authenticate"].startswith("Bearer")
    assert workers_client.requests == []


def test_the_walk_over_the_addresses_finds_them():
    assert {("get", "/v1/models"), ("post", "/v1/chat/completions")} <= set(every_endpoint())


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer {key}"},
        {"authorization": "bearer  {key} "},
        {"x-api-key": "{key}"},
        {"api-key": "{key}"},
    ],
)
def test_it_takes_the_key_from_any_of_the_headers(key, workers_client, headers):
    assert models(**{name: value.format(key=key) for name, value in headers.items()}).status_code == 200


def test_it_takes_the_same_key_in_both_headers(key, workers_client):
    assert models(**{"authorization": f"Bearer {key}", "x-api-key": key}).status_code == 200


def test_it_refuses_two_different_keys(key, bob, workers_client):
    _, other = api_keys.create(owner=bob, name="tests")

    response = models(**{"authorization": f"Bearer {key}", "x-api-key": other})

    assert response.status_code == 401
    assert "different keys" in error_of(response)["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sk-wrong"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer"},
        {"authorization": "{key}"},
        {"authorization": "Basic {key}"},
        {"authorization": "Bearer {key}x"},
        {"authorization": "Bearer sk-\u00e9\u00e9"},
        {"x-api-key": "sk-wrong"},
        {"api-key": "Bearer {key}"},
    ],
)
def test_it_refuses_what_is_not_a_key(key, headers):
    response = models(**{name: value.format(key=key) for name, value in headers.items()})

    assert response.status_code == 401
    assert key not in response.text


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_a_revoked_key_is_refused_in_both_headers(alice, header):
    row, key = api_keys.create(owner=alice, name="tests")
    api_keys.revoke(api_key=row)

    assert models(**{header: f"Bearer {key}" if header == "authorization" else key}).status_code == 401


def test_the_key_of_a_deactivated_person_is_refused(alice, key):
    alice.is_active = False
    alice.save()

    assert models(authorization=f"Bearer {key}").status_code == 401


def test_a_session_is_no_key(alice):
    browser = Client()
    browser.force_login(alice)

    assert browser.get("/v1/models").status_code == 401


def test_a_key_in_the_address_is_no_key(key):
    assert Client().get(f"/v1/models?api_key={key}&authorization=Bearer {key}").status_code == 401
