"""Bytes on a true connection that no client library would send or show."""

import json
import socket
import time

import httpx
import pytest

BODY = {"model": "parrot", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def http(live):
    headers = {"authorization": f"Bearer {live.keys['alice']}"}
    with httpx.Client(base_url=live.base_url, headers=headers, timeout=5) as client:
        yield client


def test_a_stream_ends_with_done_and_nothing_behind_it(http):
    response = http.post("/chat/completions", json={**BODY, "stream": True})

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.text.endswith("}\n\ndata: [DONE]\n\n")
    assert response.text.isascii()


def test_a_failing_stream_ends_with_the_error_and_no_done(http):
    response = http.post("/chat/completions", json={**BODY, "model": "fails-midway", "stream": True})

    assert response.status_code == 200
    last = response.text.removesuffix("\n\n").split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_failure"
    assert "[DONE]" not in response.text


def test_a_name_with_an_escaped_slash_is_one_name(http):
    assert http.get("/models/org%2Fparrot-1.0").json()["id"] == "org/parrot-1.0"
    assert http.get("/models/org/parrot-1.0").json()["id"] == "org/parrot-1.0"


def test_a_body_without_a_length_is_measured_as_well(http):
    def body():
        yield b'{"model": "'
        for _ in range(11):
            yield b"x" * 2**20
        yield b'"}'

    response = http.post("/chat/completions", content=body(), headers={"content-type": "application/json"})

    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


def test_a_plain_answer_keeps_the_connection(http):
    with http.stream("POST", "/chat/completions", json=BODY) as response:
        assert int(response.headers["content-length"]) == len(response.read())
        first = response.extensions["network_stream"].get_extra_info("client_addr")
    with http.stream("GET", "/models") as response:
        assert response.extensions["network_stream"].get_extra_info("client_addr") == first


def test_head_answers_like_get_without_a_body(http):
    response = http.head("/models")

    assert response.status_code == 200
    assert response.content == b""


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_connection_that_breaks_at_any_moment_leaves_no_generation_behind(live, stream):
    """Before the request is submitted, while it is, before its status is known, and later."""
    body = json.dumps({**BODY, "model": "endless", "stream": stream}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {live.keys['alice']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    before = set(live.state()["submitted"])
    for milliseconds in (0, 1, 2, 3, 4, 6, 8, 12, 20, 40, 80):
        with socket.create_connection(("127.0.0.1", live.port)) as connection:
            connection.sendall(head + body)
            time.sleep(milliseconds / 1000)

    assert live.wait_for(lambda state: not state["in_flight"], 5), [
        (i, i in live.state()["cancelled"], i in live.state()["submitted"]) for i in live.state()["in_flight"]
    ]
    submitted = set(live.state()["submitted"]) - before
    assert len(submitted) > 3, "no connection lived long enough for this test to mean anything"
    assert submitted <= set(live.state()["cancelled"])
