"""Files and batches in the admin: seen, searched, cancelled, and never edited."""

import pytest
from django.test import Client
from django.utils import timezone

from chatsite.accounts.models import User
from tests.factories import PASSWORD
from workers.models import ApiFile, Batch

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Client:
    """An administrator's browser."""
    browser = Client()
    browser.force_login(User.objects.create_superuser("root", "root@example.org", PASSWORD))
    return browser


@pytest.fixture
def batch(alice) -> Batch:
    file = ApiFile.objects.create(owner=alice, filename="requests.jsonl", purpose="batch", size=2048, lines=4)
    return Batch.objects.create(
        owner=alice, endpoint="/v1/chat/completions", completion_window="24h", input_file=file,
        input_file_name=file.public_id, total=4, completed=2, failed=1, expires_at=timezone.now(),
    )  # fmt: skip


def test_the_lists_say_whose_they_are_and_how_far(desk, batch):
    listed = desk.get("/admin/workers/batch/?q=alice").content.decode()
    assert batch.public_id in listed
    assert "3 / 4" in listed
    files = desk.get("/admin/workers/apifile/?q=requests").content.decode()
    assert "requests.jsonl" in files
    assert "2.0" in files


@pytest.mark.parametrize("model", ["batch", "apifile"])
def test_one_is_shown_and_cannot_be_edited_or_added(desk, batch, model):
    row = batch if model == "batch" else batch.input_file
    page = desk.get(f"/admin/workers/{model}/{row.pk}/change/").content.decode()

    assert row.public_id in page
    assert "_save" not in page
    assert desk.get(f"/admin/workers/{model}/add/").status_code == 403
    assert desk.get(f"/admin/workers/{model}/{row.pk}/delete/").status_code == 403


def test_batches_are_cancelled_by_an_action_and_ended_ones_left_alone(desk, batch):
    ended = Batch.objects.create(
        owner=batch.owner, endpoint="/v1/embeddings", completion_window="24h", input_file_name="file-x",
        expires_at=timezone.now(), status="completed",
    )  # fmt: skip

    answer = desk.post(
        "/admin/workers/batch/", {"action": "cancel", "_selected_action": [batch.pk, ended.pk]}, follow=True
    )

    batch.refresh_from_db()
    ended.refresh_from_db()
    assert (batch.status, ended.status) == ("cancelling", "completed")
    assert "1 batch is cancelled" in answer.content.decode()
