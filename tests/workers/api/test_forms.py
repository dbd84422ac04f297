"""Forms that hold nothing or make no sense, against the true server: Daphne must let Django answer them."""

import json

import httpx
import pytest


def post(live, path: str, content: bytes, kind: str = "multipart/form-data; boundary=x") -> httpx.Response:
    headers = {b"authorization": f"Bearer {live.keys['alice']}".encode(), b"content-type": kind.encode()}
    return httpx.post(
        f"{live.base_url}/{path}", content=content, headers=headers, timeout=90, trust_env=False
    )


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "missing_required_parameter"),
        (b"--x--\r\n", "missing_required_parameter"),
        (b"--x\r\n\r\n--x--\r\n", "missing_required_parameter"),
        (b"nothing of the kind", "missing_required_parameter"),
        (b"--x\r\nbroken", "missing_required_parameter"),
    ],
)
def test_a_form_without_a_file_is_refused_by_the_field(live, content, code):
    refused = post(live, "files", content)

    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, code, "file")
    assert refused.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "kind",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=é"],
)
def test_a_form_without_a_border_is_named_as_such(live, kind):
    refused = post(live, "files", b"--x--\r\n", kind)

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_multipart")


def test_an_endpoint_that_takes_no_form_says_what_it_takes(live):
    refused = post(live, "chat/completions", b"--x--\r\n")

    assert refused.status_code == 415
    assert "application/json" in refused.json()["error"]["message"]


def test_the_connection_goes_on_after_a_broken_form(live):
    with httpx.Client(
        headers={"authorization": f"Bearer {live.keys['alice']}"}, trust_env=False, timeout=90
    ) as client:
        broken = client.post(
            f"{live.base_url}/files",
            content=b"--x--\r\n",
            headers={"content-type": "multipart/form-data; boundary=x"},
        )
        sent = client.post(
            f"{live.base_url}/files", data={"purpose": "user_data"}, files={"file": ("notes.txt", b"hello")}
        )
        assert (broken.status_code, sent.status_code) == (400, 200)
        file = sent.json()["id"]
        assert client.get(f"{live.base_url}/files/{file}/content").content == b"hello"
        assert client.delete(f"{live.base_url}/files/{file}").json()["deleted"]


def test_a_form_that_is_streamed_is_read_to_its_end(live):
    """Without a length in front, as `openai` for Node.js sends the file of a `createReadStream`."""
    part = 'Content-Disposition: form-data; name="{}"'
    lines = [
        "--x",
        part.format("file") + '; filename="notes.txt"',
        "",
        "hello",
        "--x",
        part.format("purpose"),
    ]
    form = "\r\n".join([*lines, "", "user_data", "--x--", ""]).encode()
    headers = {
        "authorization": f"Bearer {live.keys['alice']}",
        "content-type": "multipart/form-data; boundary=x",
    }

    with httpx.Client(headers=headers, trust_env=False, timeout=90) as client:
        sent = client.post(
            f"{live.base_url}/files", content=(form[i : i + 7] for i in range(0, len(form), 7))
        )
        assert "content-length" not in sent.request.headers
        assert sent.status_code == 200, sent.text
        assert (sent.json()["bytes"], sent.json()["filename"]) == (5, "notes.txt")
        assert client.get(f"{live.base_url}/files/{sent.json()['id']}/content").content == b"hello"
        assert client.delete(f"{live.base_url}/files/{sent.json()['id']}").json()["deleted"]


def test_a_message_that_is_streamed_is_answered(live):
    body = json.dumps({"model": "parrot", "messages": [{"role": "user", "content": "Hello there"}]}).encode()
    headers = {"authorization": f"Bearer {live.keys['alice']}", "content-type": "application/json"}

    with httpx.Client(headers=headers, trust_env=False, timeout=90) as client:
        sent = client.post(f"{live.base_url}/chat/completions", content=iter([body[:10], body[10:]]))

    assert sent.json()["choices"][0]["message"]["content"] == "Hello there"
