"""What a job made is shown, and meets its parent in the arena."""

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from arena.models import PinnedPair
from tests.factories import make_chat_model, make_user
from training.models import Job
from training.services import publishing
from workers.models import ChatModel

pytestmark = pytest.mark.django_db


@pytest.fixture
def parent() -> ChatModel:
    return make_chat_model("base")


@pytest.fixture
def child(parent) -> ChatModel:
    return make_chat_model("ft:base:1", published=False)


@pytest.fixture
def job(child) -> Job:
    return Job.objects.create(
        owner=make_user(),
        base_model="base",
        seed=1,
        training_file_name="file-1",
        status="succeeded",
        fine_tuned_model=child.name,
    )


def test_it_is_shown_and_that_is_told_once(job):
    assert publishing.publish(job=job).published
    publishing.publish(job=job)
    assert list(job.events.values_list("message", flat=True)) == ["Published: ft:base:1"]
    assert not PinnedPair.objects.exists()


def test_it_may_fight_its_parent_in_a_share_of_all_battles(job, parent, child):
    publishing.publish(job=job, battles=0.3)
    pair = PinnedPair.objects.get()
    assert (pair.first, pair.second, pair.share) == (parent, child, 0.3)


def test_a_pair_that_is_pinned_already_gets_the_new_share(job, parent, child):
    PinnedPair.objects.create(first=child, second=parent, share=0.1)
    publishing.publish(job=job, battles=0.5)
    assert PinnedPair.objects.get().share == 0.5


def test_a_share_that_is_none_changes_nothing(job, child):
    with pytest.raises(ValidationError):
        publishing.publish(job=job, battles=1.5)
    child.refresh_from_db()
    assert not child.published


def test_without_its_parent_it_cannot_fight(job, parent, child):
    parent.delete()
    with pytest.raises(publishing.NoParent, match="base is not in the catalog"):
        publishing.publish(job=job, battles=0.3)
    assert publishing.publish(job=job) == child


def test_a_job_that_made_nothing_has_nothing_to_show(job, child):
    child.delete()
    with pytest.raises(publishing.NotMade, match="not in the catalog any more"):
        publishing.publish(job=job)


def test_it_is_published_by_command(job, child, capsys):
    call_command("train", "publish", job.public_id, "--battles", "0.25")
    assert "Published" in capsys.readouterr().out
    assert PinnedPair.objects.get().share == 0.25
    with pytest.raises(CommandError, match="--battles"):
        call_command("train", "publish", job.public_id, "--battles", "2")
