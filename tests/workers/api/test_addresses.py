"""What every answer under `/v1` has in common, whatever the request was."""

import re

import pytest
from django.test import Client

from tests.workers.api.conftest import error_of
from workers.api import body
from workers.api.chat import serving

NOWHERE = [
    "/v1",
    "/v1/",
    "/v1/chat",
    "/v1/chat/completions/",
    "/v1/models/",
    "/v1//models",
    "/v1/nothing",
    "/v1/admin/login/",
    "/v1/..%2fadmin/",
    "/v1/" + "x" * 4000,
]


@pytest.mark.parametrize("path", NOWHERE)
@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "patch", "options"])
def test_an_unknown_address_is_an_openai_error_and_never_a_redirect(db, path, method):
    response = getattr(Client(), method)(path)

    assert response.status_code == 404
    assert error_of(response)["code"] == "unknown_url"


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
def test_a_program_that_forgot_v1_is_told_the_base_url(db, header):
    response = Client().post(
        "/chat/completions", {}, content_type="application/json", headers={header: "Bearer x"}
    )

    assert response.status_code == 404
    assert "http://testserver/v1" in error_of(response)["message"]


def test_a_browser_that_looks_there_gets_a_page(db):
    response = Client().get("/models")

    assert (response.status_code, response["content-type"]) == (404, "text/html; charset=utf-8")


def test_a_key_at_a_page_of_the_site_changes_nothing(db):
    assert Client().get("/login/", headers={"authorization": "Bearer x"}).status_code == 200


def test_v1_twice_is_explained(db):
    response = Client().post("/v1/v1/messages", {}, content_type="application/json")

    assert "/v1 twice" in error_of(response)["message"]


def test_the_error_for_a_slash_too_many_says_so(db):
    response = Client().post("/v1/chat/completions/", {}, content_type="application/json")

    assert "Leave out the slash" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("delete", "/v1/chat/completions", "GET, POST, HEAD"),
        ("put", "/v1/chat/completions", "GET, POST, HEAD"),
        ("options", "/v1/chat/completions", "GET, POST, HEAD"),
        ("trace", "/v1/chat/completions", "GET, POST, HEAD"),
        ("post", "/v1/models", "GET, HEAD"),
        ("post", "/v1/models/parrot", "GET, DELETE, HEAD"),
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_one(api, method, path, allowed):
    response = getattr(Client(), method)(path)

    assert response.status_code == 405
    assert response["allow"] == allowed
    assert error_of(response)["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "accept", ["text/event-stream", "text/html", "image/png", "nonsense", "application/xml;q=0"]
)
def test_the_accept_header_never_matters(api, accept):
    headers = {**api.headers, "accept": accept}

    assert api.get("/v1/models", headers=headers).status_code == 200
    assert api.get("/v1/models/nobody", headers=headers).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "text/plain"},
        {"content_type": ""},
        {"content_type": "application/json; charset=latin-1"},
        {"headers": {"content-encoding": "gzip"}},
    ],
)
def test_a_body_that_is_not_plain_json_is_415(api, headers):
    headers = {**headers, "headers": {**api.headers, **headers.get("headers", {})}}

    response = api.post("/v1/chat/completions", b"{}", **headers)

    assert response.status_code == 415
    assert error_of(response)["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_json_may_name_its_charset(api, media_type):
    body = {"model": "parrot", "messages": [{"role": "user", "content": "Hi"}]}

    assert api.post("/v1/chat/completions", body, content_type=media_type).status_code == 200


def test_a_body_above_the_limit_is_413(api, monkeypatch, workers_client):
    monkeypatch.setattr(body, "BODY_LIMIT", 2 * 1024 * 1024)

    response = api.chat(messages=[{"role": "user", "content": "x" * 2 * 1024 * 1024}])

    assert response.status_code == 413
    assert error_of(response)["code"] == "request_too_large"
    assert "2 MiB" in error_of(response)["message"]
    assert workers_client.requests == []


def test_a_body_larger_than_djangos_own_limit_is_fine(api, settings):
    assert settings.DATA_UPLOAD_MAX_MEMORY_SIZE < 3_000_000

    response = api.chat(messages=[{"role": "user", "content": "x" * 3_000_000}])

    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "x" * 3_000_000


def test_an_unknown_host_is_an_openai_error(api):
    response = api.get("/v1/models", headers={**api.headers, "host": "evil.example"})

    assert response.status_code == 400
    assert error_of(response)["code"] == "invalid_host"


def test_every_answer_has_a_request_id_and_its_time(api):
    answers = [api.chat(), api.chat(model="nobody"), Client().get("/v1/nowhere"), Client().get("/v1/models")]

    for answer in answers:
        assert re.fullmatch(r"req_[0-9a-f]{32}", answer["x-request-id"])
        assert answer["openai-processing-ms"].isdigit()
        assert answer["content-length"] == str(len(answer.content))
        assert answer["x-content-type-options"] == "nosniff"
    assert len({answer["x-request-id"] for answer in answers}) == 4


def test_the_request_id_leads_to_the_reply(api):
    response = api.chat()

    assert response.json()["id"].removeprefix("chatcmpl-") == response["x-request-id"].removeprefix("req_")


def test_an_answer_sets_no_cookie_and_asks_for_no_csrf_token(key, parrot, workers_client):
    strict = Client(enforce_csrf_checks=True)

    response = strict.post(
        "/v1/chat/completions",
        '{"model": "parrot", "messages": [{"role": "user", "content": "Hi"}]}',
        content_type="application/json",
        headers={"authorization": f"Bearer {key}"},
    )

    assert response.status_code == 200
    assert not response.cookies


def test_a_crash_is_an_openai_error_without_a_word_of_the_prompt(api, monkeypatch, caplog):
    def crash(**values):
        raise RuntimeError(f"canary {values['request'].messages}") from KeyError("canary")

    monkeypatch.setattr(serving, "submit", crash)

    response = api.chat(messages=[{"role": "user", "content": "canary"}])

    assert response.status_code == 500
    assert error_of(response)["code"] == "internal_error"
    assert "x-request-id" in response
    assert "canary" not in response.text
    assert "RuntimeError" in caplog.text
    assert "test_addresses.py" in caplog.text, "the log does not say where"
    assert "canary" not in caplog.text.replace("canary {values", "").replace('KeyError("canary")', "")
