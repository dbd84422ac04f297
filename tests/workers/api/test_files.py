"""Files: uploaded, checked, listed, read, deleted. Nobody sees somebody else's."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from chatsite.accounts.services import api_keys
from tests.workers.api.conftest import Api, error_of
from workers.models import ApiFile
from workers.models.files import folder
from workers.services import files

LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "parrot"}}


def jsonl(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def upload(api: Api, content: bytes = b"hello", *, name: str = "notes.txt", **fields: Any) -> Any:
    data = {"purpose": "user_data", **fields, "file": SimpleUploadedFile(name, content)}
    return api._client.post(
        "/v1/files", {k: v for k, v in data.items() if v is not None}, headers=api.headers
    )


def content_of(api: Api, public_id: str) -> bytes:
    response = api.get(f"/v1/files/{public_id}/content")
    assert response.status_code == 200

    async def read() -> bytes:
        return b"".join([piece async for piece in response.streaming_content])

    return asyncio.run(read())


@pytest.fixture
def other(bob) -> Api:
    return Api(api_keys.create(owner=bob, name="tests")[1])


def leftovers() -> list[str]:
    return [path.name for path in files.incoming().iterdir()]


def test_a_file_comes_back_as_it_was_sent(api):
    sent = bytes(range(256)) * 5000
    answer = upload(api, sent, name="pictures.bin")

    assert answer.status_code == 200
    body = answer.json()
    assert body == {
        "id": body["id"], "object": "file", "bytes": len(sent), "created_at": body["created_at"], "expires_at": None,
        "filename": "pictures.bin", "purpose": "user_data", "status": "processed", "status_details": None,
    }  # fmt: skip
    assert api.get(f"/v1/files/{body['id']}").json() == body
    assert content_of(api, body["id"]) == sent
    assert leftovers() == []


def test_a_deleted_file_is_gone_from_the_disk(api, django_capture_on_commit_callbacks):
    public_id = upload(api).json()["id"]
    path = ApiFile.objects.get().path
    assert path.is_file()

    with django_capture_on_commit_callbacks(execute=True):
        answer = api._client.delete(f"/v1/files/{public_id}", headers=api.headers)

    assert answer.json() == {"id": public_id, "object": "file", "deleted": True}
    assert not path.exists()
    assert api.get(f"/v1/files/{public_id}").status_code == 404


@pytest.mark.parametrize("path", ["", "/content"])
def test_somebody_elses_file_does_not_exist(api, other, path):
    public_id = upload(api).json()["id"]

    assert error_of(other.get(f"/v1/files/{public_id}{path}"))["code"] == "file_not_found"
    assert other._client.delete(f"/v1/files/{public_id}", headers=other.headers).status_code == 404
    assert other.get("/v1/files").json()["data"] == []
    assert ApiFile.objects.count() == 1


def test_the_list_has_pages_newest_first(api):
    ids = [upload(api, name=f"{number}.txt").json()["id"] for number in range(5)]

    first = api.get("/v1/files?limit=2").json()
    second = api.get(f"/v1/files?limit=2&after={first['last_id']}").json()
    last = api.get(f"/v1/files?limit=2&after={second['last_id']}").json()

    assert [file["id"] for page in (first, second, last) for file in page["data"]] == ids[::-1]
    assert [page["has_more"] for page in (first, second, last)] == [True, True, False]
    assert [file["id"] for file in api.get("/v1/files?order=asc").json()["data"]] == ids
    assert api.get("/v1/files?purpose=batch").json()["data"] == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=10001", "order=up", "after=file-none", "purpose=party"]
)
def test_a_list_that_cannot_be_made_names_the_parameter(api, query):
    refused = api.get(f"/v1/files?{query}")

    assert refused.status_code == 400
    assert error_of(refused)["param"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": None}, "purpose"),
        ({"purpose": "party"}, "purpose"),
        ({"purpose": "batch_output"}, "purpose"),
        ({"nonsense": "1"}, "nonsense"),
        ({"expires_after[anchor]": "now", "expires_after[seconds]": "3600"}, "expires_after.anchor"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "5"}, "expires_after.seconds"),
        ({"expires_after[anchor]": "created_at"}, "expires_after.seconds"),
    ],
)
def test_a_bad_field_is_refused_by_name_and_nothing_is_kept(api, fields, param):
    refused = upload(api, **fields)

    assert refused.status_code == 400
    assert error_of(refused)["param"] == param
    assert leftovers() == []
    assert not ApiFile.objects.exists()


def test_an_upload_without_a_file_is_refused(api):
    refused = api._client.post("/v1/files", {"purpose": "batch"}, headers=api.headers)

    assert error_of(refused)["param"] == "file"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"nothing", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken", 400),
    ],
)
def test_a_body_that_is_no_form_is_refused(api, content_type, body, status):
    refused = api.post("/v1/files", body, content_type=content_type)

    assert refused.status_code == status
    assert error_of(refused)["message"]


def test_a_file_over_the_limit_is_413_and_leaves_nothing(api, settings):
    settings.API_FILE_LIMIT = 100_000

    for size in (100_001, 400_000):
        refused = upload(api, b"x" * size)
        assert refused.status_code == 413
        assert error_of(refused)["code"] == "request_too_large"
    assert leftovers() == []
    assert upload(api, b"x" * 100_000).status_code == 200


def test_one_person_cannot_fill_the_disk(api, settings):
    settings.API_FILES_PER_USER = 150
    assert upload(api, b"x" * 100).status_code == 200

    refused = upload(api, b"x" * 100)

    assert refused.status_code == 413
    assert error_of(refused)["code"] == "storage_limit_exceeded"
    assert leftovers() == []


def test_a_name_cannot_lead_out_of_its_folder(api):
    body = upload(api, name="../../etc/pass\x00wd").json()

    assert "/" not in body["filename"]
    assert folder() in ApiFile.objects.get().path.parents
    assert files.clean_name("..\\..\\a\x1bb/c\n") == "c"
    assert files.clean_name("///") == "file"


@pytest.mark.parametrize(
    ("purpose", "content", "what"),
    [
        ("batch", jsonl(LINE) + b"{broken\n", "Line 2"),
        ("batch", jsonl(LINE, LINE), "line 1 already"),
        ("batch", jsonl(LINE, {**LINE, "custom_id": "b", "method": "GET"}), "'method'"),
        ("batch", jsonl({**LINE, "custom_id": ""}), "'custom_id'"),
        ("batch", jsonl({**LINE, "custom_id": "\ud83d"}), "cannot be stored"),
        ("batch", jsonl({**LINE, "url": 1}), "'url'"),
        ("batch", jsonl({**LINE, "body": []}), "'body'"),
        ("batch", jsonl({**LINE, "body": {}}), "'model'"),
        ("batch", b"[1]\n", "not a JSON object"),
        ("batch", b"", "empty"),
        ("batch", b"\n\n", "empty"),
        ("batch", b"\xff\n", "not UTF-8"),
        ("batch", b"[" * 100_000, "Line 1"),
        ("fine-tune", jsonl({"messages": [{"role": "user", "content": "Hi"}]}), "nothing to learn"),
        ("fine-tune", jsonl({"messages": [{"role": "pope", "content": "Hi"}]}), "messages[0].role"),
        ("fine-tune", jsonl({"messages": [{"role": "user"}]}), "no 'content'"),
        ("fine-tune", jsonl({"messages": []}), "list of messages"),
        ("fine-tune", jsonl({"text": "Hi"}), "'messages'"),
        ("fine-tune", jsonl({"preferred_output": []}), "'input'"),
        ("fine-tune", b"", "empty"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_named(api, purpose, content, what):
    refused = upload(api, content, purpose=purpose)

    assert refused.status_code == 400
    assert error_of(refused)["code"] == "invalid_jsonl"
    assert what in error_of(refused)["message"]
    assert leftovers() == []


@pytest.mark.parametrize(
    ("purpose", "content", "lines"),
    [
        ("batch", jsonl(LINE, {**LINE, "custom_id": "b"}), 2),
        ("batch", b"\xef\xbb\xbf" + jsonl(LINE) + b"\n \n", 1),
        ("fine-tune", jsonl({"messages": [{"role": "assistant", "content": "Hi"}]}), 1),
        ("fine-tune", jsonl({"prompt": "a", "completion": "b"}) * 3, 3),
        (
            "fine-tune",
            jsonl({
                "input": {"messages": [{"role": "user", "content": "Hi"}]},
                "preferred_output": [{"role": "assistant", "content": "Hello"}],
                "non_preferred_output": [{"role": "assistant", "content": "Go away"}],
            }),
            1,
        ),
    ],
)  # fmt: skip
def test_the_lines_of_a_good_file_are_counted(api, purpose, content, lines):
    assert upload(api, content, purpose=purpose).status_code == 200
    assert ApiFile.objects.get().lines == lines


def test_a_file_whose_time_is_over_is_removed(api, django_capture_on_commit_callbacks):
    fields: dict[str, Any] = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    body = upload(api, **fields).json()
    assert body["expires_at"] - body["created_at"] in (3600, 3601)
    upload(api, name="stays.txt")
    ApiFile.objects.filter(public_id=body["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))

    with django_capture_on_commit_callbacks(execute=True):
        assert files.remove_expired() == 1

    assert [file.filename for file in ApiFile.objects.all()] == ["stays.txt"]


def test_what_an_upload_left_behind_is_cleared(api):
    left = files.new_incoming()
    left.write_bytes(b"half")

    files.clear_incoming(older_than=left.stat().st_mtime - 60)
    assert left.exists()
    files.clear_incoming(older_than=left.stat().st_mtime + 60)
    assert not left.exists()
