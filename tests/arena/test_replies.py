"""services.replies: from the commit to the recorded answer."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from arena.models import Reply
from arena.services import conversations, replies
from arena.tasks import reconcile_replies, record_reply
from chatsite.accounts.models import UsageRecord
from tests.arena.conftest import make_reply
from workers import client
from workers.connections import broker
from workers.protocol import ErrorCode, FinishReason, Report, Timing, Usage

pytestmark = pytest.mark.django_db


@pytest.fixture
def queued(talk) -> Reply:
    return make_reply(talk.messages.last(), status=Reply.Status.QUEUED, outcome="")


def report_on(reply: Reply, text: str = "Polly", outcome: str = FinishReason.STOP, **values) -> Report:
    values = {"usage": Usage(11, 7, 3), "timing": Timing(0.25, 1.5), **values}
    return Report(request_id=reply.id.hex, key=str(reply.id), text=text, outcome=outcome, **values)


# --- submit --------------------------------------------------------------------------------------------------


def test_it_fails_the_reply_when_no_worker_serves_the_chat_model(alice, parrot, no_workers, commits):
    with commits():
        reply = conversations.send_message(owner=alice, text="Anybody?", chat_model_name="parrot")

    reply.refresh_from_db()
    assert (reply.status, reply.outcome) == (Reply.Status.FAILED, "no_worker")
    assert (
        reply.error_message
        == "“parrot” is offline at the moment. Pick another chat model, or try again later."
    )
    assert reply.finished_at is not None


def test_it_fails_the_reply_when_too_many_wait(alice, parrot, workers_client, commits, monkeypatch):
    def refuse(request):
        raise client.QueueFull("1000 requests wait")

    monkeypatch.setattr("workers.client.submit", refuse)
    with commits():
        reply = conversations.send_message(owner=alice, text="Anybody?")

    reply.refresh_from_db()
    assert (reply.status, reply.outcome) == (Reply.Status.FAILED, "queue_full")
    assert "too much to do" in reply.error_message


def test_it_fails_the_reply_when_the_broker_does_not_answer(
    alice, parrot, workers_client, commits, monkeypatch, caplog
):
    def break_down(request):
        raise ConnectionError("socket gone")

    monkeypatch.setattr("workers.client.submit", break_down)
    with commits():
        reply = conversations.send_message(owner=alice, text="canary-prompt")

    reply.refresh_from_db()
    assert (reply.status, reply.outcome) == (Reply.Status.FAILED, "engine_failure")
    assert "cannot be reached" in reply.error_message
    assert str(reply.id) in caplog.text
    assert "canary-prompt" not in caplog.text


def test_a_failed_submission_does_not_block_the_conversation(alice, talk, no_workers, commits):
    with commits():
        conversations.send_message(owner=alice, text="Anybody?", conversation_id=talk.id)

    assert conversations.send_message(owner=alice, text="And now?", conversation_id=talk.id)


# --- record --------------------------------------------------------------------------------------------------


def test_it_records_an_answer_from_the_message_to_the_database(alice, parrot, workers_client, commits):
    workers_client.host_script("parrot", "reply=Hello there")
    with commits():
        reply = conversations.send_message(owner=alice, text="Say hello")
    workers_client.deliver_reports()

    reply.refresh_from_db()
    assert (reply.status, reply.outcome, reply.text) == (Reply.Status.FINISHED, "stop", "Hello there")
    assert reply.completion_tokens == 2
    assert reply.prompt_tokens
    assert reply.total_seconds is not None
    assert reply.finished_at is not None


def test_it_writes_all_numbers(queued):
    assert replies.record(report=report_on(queued))

    queued.refresh_from_db()
    assert (queued.prompt_tokens, queued.completion_tokens) == (11, 7)
    assert (queued.first_token_seconds, queued.total_seconds) == (0.25, 1.5)


def test_it_records_a_failure_with_the_text_so_far(queued):
    replies.record(
        report=report_on(
            queued, "Half an ans", ErrorCode.WORKER_LOST, error_message="The worker has stopped."
        )
    )

    queued.refresh_from_db()
    assert (queued.status, queued.outcome) == (Reply.Status.FAILED, "worker_lost")
    assert (queued.text, queued.error_message) == ("Half an ans", "The worker has stopped.")


def test_it_names_the_remedy_for_a_conversation_that_is_too_long(queued):
    report = report_on(
        queued, "", ErrorCode.CONTEXT_OVERFLOW, error_message="9000 tokens do not fit into 8192"
    )
    replies.record(report=report)

    queued.refresh_from_db()
    assert "Start a new one" in queued.error_message


def test_it_records_once(queued):
    assert replies.record(report=report_on(queued, "first"))
    assert not replies.record(report=report_on(queued, "second"))

    queued.refresh_from_db()
    assert queued.text == "first"
    assert UsageRecord.objects.count() == 1


def test_it_counts_the_tokens_for_the_owner(alice, queued):
    replies.record(report=report_on(queued))

    usage = UsageRecord.objects.get()
    assert (usage.user, usage.api_key, usage.source) == (alice, None, "chat")
    assert (usage.chat_model, usage.prompt_tokens, usage.completion_tokens) == ("parrot", 11, 7)
    assert (usage.request_id, usage.outcome) == (queued.id.hex, "stop")


def test_it_records_nothing_for_a_deleted_conversation(queued, talk):
    report = report_on(queued)
    talk.delete()

    assert not replies.record(report=report)


@pytest.mark.parametrize("key", ["", "x", "1", "{}", str(uuid.UUID(int=0))])
def test_it_drops_a_report_with_a_key_that_is_no_replys(queued, key):
    report = Report(request_id=queued.id.hex, key=key, text="x", outcome="stop")

    assert not replies.record(report=report)


@pytest.mark.parametrize(("text", "stored"), [("a\x00b", "a\ufffdb"), ("a\ud83db", "a?b"), ("🦜", "🦜")])
def test_it_stores_whatever_a_model_writes(queued, text, stored):
    replies.record(report=report_on(queued, text))

    queued.refresh_from_db()
    assert queued.text == stored


def test_it_cuts_an_error_message_to_its_column(queued):
    replies.record(report=report_on(queued, "", ErrorCode.ENGINE_FAILURE, error_message="x" * 2000))

    queued.refresh_from_db()
    assert len(queued.error_message) == 500


def test_the_task_takes_the_report_as_json_has_it(queued):
    record_reply(report_on(queued).to_dict())

    queued.refresh_from_db()
    assert queued.text == "Polly"


@pytest.mark.parametrize("payload", [{}, {"key": "x"}, {"usage": {}, "timing": {}, "text": "canary-reply"}])
def test_the_task_drops_what_is_no_report_and_does_not_log_it(queued, payload, caplog):
    record_reply(payload)

    assert "dropped" in caplog.text
    assert "canary-reply" not in caplog.text


# --- reconcile -----------------------------------------------------------------------------------------------


def age(reply: Reply, seconds: float) -> Reply:
    reply.created_at = timezone.now() - timedelta(seconds=seconds)
    reply.save(update_fields=["created_at"])
    return reply


def test_it_fails_a_reply_that_the_broker_does_not_know(workers_client, queued):
    age(queued, 61)

    reconcile_replies()

    queued.refresh_from_db()
    assert (queued.status, queued.outcome) == (Reply.Status.FAILED, "worker_lost")
    assert queued.error_message.startswith("The answer was lost")


def test_it_gives_a_young_reply_time(workers_client, queued):
    age(queued, 50)

    assert replies.reconcile() == 0
    queued.refresh_from_db()
    assert queued.running


def test_it_leaves_a_reply_that_is_still_being_written(alice, parrot, workers_client, commits):
    workers_client.host_script("parrot", "tokens=10000&rate=50")
    with commits():
        reply = conversations.send_message(owner=alice, text="Talk on")
    age(reply, 500)

    assert replies.reconcile() == 0
    reply.refresh_from_db()
    assert reply.running


def test_it_gives_up_a_reply_whose_deadline_is_long_past(alice, parrot, workers_client, commits, settings):
    """Nobody rescued it: a conversation must not be blocked for ever."""
    workers_client.host_script("parrot", "tokens=10000&rate=50")
    with commits():
        reply = conversations.send_message(owner=alice, text="Talk on")
    age(reply, settings.GENERATION_TIMEOUT + 30)
    assert replies.reconcile() == 0

    age(reply, settings.GENERATION_TIMEOUT + 61)
    assert replies.reconcile() == 1
    reply.refresh_from_db()
    assert (reply.status, reply.outcome) == (Reply.Status.FAILED, "deadline")
    assert "took too long" in reply.error_message


def test_it_restores_an_answer_whose_report_was_lost(alice, parrot, workers_client, commits):
    workers_client.host_script("parrot", "tokens=20")
    with commits():
        reply = conversations.send_message(owner=alice, text="Count")
    workers_client.wait_idle()
    workers_client.reports.clear()
    age(reply, 61)

    assert replies.reconcile() == 1
    reply.refresh_from_db()
    assert (reply.status, reply.outcome) == (Reply.Status.FINISHED, "stop")
    assert reply.text.split() == [f"w{number}" for number in range(20)]
    assert UsageRecord.objects.get().completion_tokens == reply.completion_tokens == 20


def test_it_restores_a_failure_whose_report_was_lost(alice, parrot, workers_client, commits):
    workers_client.host_script("parrot", "tokens=20&fail_after=3")
    with commits():
        reply = conversations.send_message(owner=alice, text="Count")
    workers_client.wait_idle()
    workers_client.reports.clear()
    age(reply, 61)

    replies.reconcile()
    reply.refresh_from_db()
    assert (reply.status, reply.outcome) == (Reply.Status.FAILED, "engine_failure")
    assert reply.text.split() == ["w0", "w1", "w2"]
    assert reply.error_message


def test_it_does_not_write_over_a_report_that_came_late(workers_client, queued):
    age(queued, 61)
    replies.record(report=report_on(queued))

    assert not replies.settle(reply_id=queued.id)
    queued.refresh_from_db()
    assert queued.text == "Polly"


def test_it_reconciles_many_in_one_go(workers_client, talk, alice, parrot):
    for number in range(5):
        message = talk.messages.create(position=10 + number, text="?")
        age(make_reply(message, status=Reply.Status.QUEUED), 100 + number)

    assert replies.reconcile() == 5


def test_it_fails_a_reply_whose_stream_expired_before_the_report_came(alice, parrot, workers_client, commits):
    with commits():
        reply = conversations.send_message(owner=alice, text="Hi")
    workers_client.wait_idle()
    broker().flushall()
    age(reply, 61)

    replies.reconcile()
    reply.refresh_from_db()
    assert reply.status == Reply.Status.FAILED
