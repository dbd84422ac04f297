"""A run from its first answer to its last verdict, on the true engine host and a true broker."""

from datetime import timedelta
from itertools import islice
from threading import Timer
from typing import Any

import pytest
from django.utils import timezone

from evaluation.calls import CallFailed, Completion, Outcome
from evaluation.errors import Broken, Stopped
from evaluation.models import CachedJudgment, EvaluationRun, StoredAnswer, StoredVerdict
from evaluation.selectors import runs as selectors
from evaluation.services import leases, runner, runs
from evaluation.services.answering import Answering
from tests.evaluation.support import TURNS, host, plan_run, write_suite
from workers import client

pytestmark = pytest.mark.django_db

Status = EvaluationRun.Status


def test_every_chat_model_answers_every_turn_in_one_conversation(workers_client, suite):
    host(workers_client, "parrot", system_prompt="Be brief.")
    run = runner.execute(run_id=plan_run(suite, "parrot").pk)
    answers = {row.question_id: row for row in StoredAnswer.objects.all()}
    assert {key: row.turns for key, row in answers.items()} == {
        "1": ["Say one.", "Say two."],
        "2": ["What is 2 + 2?", "Plus 1?"],
        "x3": ["Why is the sky blue?"],
    }
    assert (run.status, run.answers_done, run.answers_total, run.errors) == (Status.FINISHED, TURNS, TURNS, 0)
    second = next(r for r in workers_client.requests if r.messages[-1].content == "Say two.")
    assert [(message.role, message.content) for message in second.messages] == [
        ("system", "Be brief."),
        ("user", "Say one."),
        ("assistant", "Say one."),
        ("user", "Say two."),
    ]


def test_a_conversation_goes_on_at_once_and_the_last_ones_begin_before_others_end(workers_client, tmp_path):
    """Room for one: with more questions waiting than that, a second turn comes first, its conversation is cached."""
    host(workers_client, "parrot")
    rows = [
        {"question_id": n, "category": "stem", "turns": [f"{n} first", f"{n} second"]} for n in range(1, 4)
    ]
    run = plan_run(write_suite(tmp_path, rows), "parrot", parameters={"concurrency": 1})
    runner.execute(run_id=run.pk)
    assert [request.messages[-1].content for request in workers_client.requests] == [
        "1 first", "1 second", "2 first", "2 second", "3 first", "3 second",
    ]  # fmt: skip
    workers_client.requests.clear()
    answering = Answering(plan_run(write_suite(tmp_path, rows), "parrot"), selectors.questions(run=run))
    begun = next(ready := iter(answering.ready, None))[0]
    answering.take(Outcome(begun, Completion("said", "stop"), None))
    assert [key.question_id for key, _, _ in ready] == ["2", "3", "1"]


def test_of_what_comes_in_together_one_failure_loses_no_other(workers_client, suite):
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    answering = Answering(run, selectors.questions(run=run))
    one, other = (key for key, _, _ in islice(iter(answering.ready, None), 2))
    gone = Outcome(one, None, CallFailed("The key is wrong.", code="http_401", fatal=True))
    with pytest.raises(Broken, match="The key is wrong"):
        runner._take([gone, Outcome(other, Completion("kept", "stop"), None)], answering)
    assert list(run.answers.values_list("question_id", "turns")) == [(other.question_id, ["kept"])]


def test_categories_with_one_right_answer_are_asked_without_chance(workers_client, suite):
    host(workers_client, "parrot")
    runner.execute(run_id=plan_run(suite, "parrot").pk)
    temperatures = {r.messages[0].content: r.sampling.temperature for r in workers_client.requests}
    assert (temperatures["Say one."], temperatures["What is 2 + 2?"]) == (0.7, 0.0)


def test_a_judge_scores_every_turn_of_every_answer(workers_client, suite):
    host(workers_client, "parrot")
    host(workers_client, "strict", "reply=Weak. [[3]]")
    run = runner.execute(run_id=plan_run(suite, "parrot", judges=["strict"]).pk)
    verdicts = StoredVerdict.objects.order_by("question_id", "turn")
    assert [(v.question_id, v.turn, v.score) for v in verdicts] == [
        ("1", 1, 3.0), ("1", 2, 3.0), ("2", 1, 3.0), ("2", 2, 3.0), ("x3", 1, 3.0),
    ]  # fmt: skip
    assert (run.status, run.verdicts_done, run.verdicts_total) == (Status.FINISHED, TURNS, TURNS)
    assert all(v.judgment == "Weak. [[3]]" and v.content_key and not v.failed for v in verdicts)


def test_a_judge_sees_the_reference_up_to_the_turn(workers_client, suite):
    host(workers_client, "parrot")
    host(workers_client, "strict", "reply=[[3]]")
    runner.execute(run_id=plan_run(suite, "parrot", judges=["strict"]).pk)
    first, second = StoredVerdict.objects.filter(question_id="2").order_by("turn")
    assert (first.prompt_name, second.prompt_name) == (
        "chatsite-single-reference",
        "chatsite-single-reference-turn-2",
    )
    assert "reference\n4\n" in first.user_prompt
    assert "Plus 1?" not in first.user_prompt
    assert "reference\n5\n" in second.user_prompt


def test_a_judge_that_likes_the_first_place_is_no_ones_win(workers_client, suite):
    """It always says A: model 1 wins game 1, and model 2, shown first, wins game 2."""
    host(workers_client, "parrot")
    host(workers_client, "polly", "reply=hello")
    host(workers_client, "lazy", "reply=[[A]]")
    run = runner.execute(
        run_id=plan_run(suite, "polly", judges=["lazy"], mode="pairwise-baseline", baseline="parrot").pk
    )
    assert run.verdicts_done == 2 * TURNS
    pairs = set(StoredVerdict.objects.values_list("model_1", "model_2", "game", "winner"))
    assert pairs == {("polly", "parrot", 1, "model_1"), ("polly", "parrot", 2, "model_2")}


def test_pairwise_all_plays_every_pair_once_in_both_orders(workers_client, suite):
    for name in ("a", "b", "c"):
        host(workers_client, name, "reply=x")
    host(workers_client, "fair", "reply=[[C]]")
    runner.execute(run_id=plan_run(suite, "a", "b", "c", judges=["fair"], mode="pairwise-all").pk)
    assert StoredVerdict.objects.count() == 3 * 2 * TURNS
    assert set(StoredVerdict.objects.values_list("winner", flat=True)) == {"tie"}


def test_nonsense_is_asked_for_once_more_then_counted_and_never_scored(workers_client, suite):
    host(workers_client, "parrot")
    host(workers_client, "mumbler", "reply=I like turtles [[99]]")
    run = runner.execute(run_id=plan_run(suite, "parrot", judges=["mumbler"]).pk)
    asked = [request for request in workers_client.requests if request.chat_model == "mumbler"]
    assert len(asked) == 2 * TURNS
    assert "Reply with the grade only" in asked[-1].messages[-1].content
    assert run.errors == TURNS
    for verdict in StoredVerdict.objects.all():
        assert (verdict.failed, verdict.score, verdict.attempts) == (True, None, 2)
        assert "no verdict" in verdict.error_message
    assert not CachedJudgment.objects.exists()


def test_what_a_judge_has_said_before_costs_nothing(workers_client, suite):
    host(workers_client, "parrot")
    host(workers_client, "strict", "reply=[[3]]")
    runner.execute(run_id=plan_run(suite, "parrot", judges=["strict"]).pk)
    before = sum(request.chat_model == "strict" for request in workers_client.requests)
    second = plan_run(suite, "parrot", judges=["strict"])
    runner.execute(run_id=second.pk)
    assert sum(request.chat_model == "strict" for request in workers_client.requests) == before
    assert all(second.verdicts.values_list("cached", flat=True))
    assert set(second.verdicts.values_list("score", flat=True)) == {3.0}


def test_it_goes_on_where_it_stopped_and_repeats_no_finished_call(workers_client, suite):
    host(workers_client, "parrot")
    host(workers_client, "strict", "reply=[[3]]")
    run = plan_run(suite, "parrot", judges=["strict"])
    StoredAnswer.objects.create(run=run, chat_model="parrot", question_id="1", turns=["Earlier."])
    StoredAnswer.objects.create(
        run=run, chat_model="parrot", question_id="x3", turns=["Because."], complete=True
    )
    StoredVerdict.objects.create(
        run=run, kind="single", judge="strict", question_id="x3", turn=1, model_1="parrot", score=9
    )
    done = runner.execute(run_id=run.pk)
    asked = sorted(r.messages[-1].content for r in workers_client.requests if r.chat_model == "parrot")
    assert asked == ["Plus 1?", "Say two.", "What is 2 + 2?"]
    assert StoredAnswer.objects.get(question_id="1").turns == ["Earlier.", "Say two."]
    assert StoredVerdict.objects.get(question_id="x3").score == 9
    assert sum(r.chat_model == "strict" for r in workers_client.requests) == TURNS - 1
    assert (done.answers_done, done.verdicts_done, done.errors) == (TURNS, TURNS, 0)


def test_an_answer_that_failed_is_counted_and_judged_by_nobody(workers_client, suite):
    host(workers_client, "broken", "tokens=10&fail_after=2")
    host(workers_client, "strict", "reply=[[3]]")
    run = runner.execute(run_id=plan_run(suite, "broken", judges=["strict"]).pk)
    assert run.status == Status.FINISHED
    assert run.errors == 3 + TURNS
    assert (run.answers_done, run.verdicts_done) == (TURNS, TURNS)
    assert not any(request.chat_model == "strict" for request in workers_client.requests)
    assert set(StoredVerdict.objects.values_list("score", "error_message")) == {
        (None, "broken gave no answer.")
    }


def test_failed_calls_are_tried_again_when_somebody_wishes(workers_client, suite):
    host(workers_client, "broken", "tokens=10&fail_after=2")
    host(workers_client, "strict", "reply=[[3]]")
    run = runner.execute(run_id=plan_run(suite, "broken", judges=["strict"]).pk)
    workers_client.host_script("broken", "reply=mended")
    runs.reopen(run=run, retry_errors=True)
    run = runner.execute(run_id=run.pk)
    assert (run.errors, run.status) == (0, Status.FINISHED)
    assert set(StoredVerdict.objects.values_list("score", flat=True)) == {3.0}


def test_a_chat_model_that_goes_away_ends_the_run_with_a_remedy_and_keeps_what_is_there(
    workers_client, suite
):
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    workers_client.unhost("parrot")
    with pytest.raises(Broken, match="then resume"):
        runner.execute(run_id=run.pk)
    run.refresh_from_db()
    assert (run.status, run.runner) == (Status.FAILED, "")
    workers_client.host_script("parrot")
    runs.reopen(run=run)
    assert runner.execute(run_id=run.pk).status == Status.FINISHED


def test_nobody_works_on_a_run_that_another_process_holds(workers_client, suite):
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    EvaluationRun.objects.filter(pk=run.pk).update(
        runner="elsewhere:1:1", lease_until=timezone.now() + timedelta(seconds=600), status=Status.RUNNING
    )
    with pytest.raises(Stopped, match="Another process"):
        runner.execute(run_id=run.pk)
    assert not workers_client.requests


@pytest.mark.parametrize(
    "values",
    [
        {"runner": "elsewhere:1:1", "lease_until": timezone.now() - timedelta(seconds=1)},
        {
            "runner": leases.me().rsplit(":", 2)[0] + ":999999999:1",
            "lease_until": timezone.now() + timedelta(days=1),
        },
    ],
    ids=["a lease that ran out", "a process of this machine that is gone"],
)
def test_a_dead_runners_run_is_taken_over(workers_client, suite, values):
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    EvaluationRun.objects.filter(pk=run.pk).update(status=Status.RUNNING, **values)
    assert runner.execute(run_id=run.pk).status == Status.FINISHED


def test_what_nobody_works_on_in_the_background_is_abandoned(workers_client, suite):
    host(workers_client, "parrot")
    now = timezone.now()
    held: dict[str, Any] = {"status": Status.RUNNING, "runner": "elsewhere:1:1"}
    states: dict[str, dict[str, Any]] = {
        "killed": {**held, "lease_until": now - timedelta(seconds=1)},
        "given back": {"created_at": now - timedelta(minutes=1)},
        "on its way to its process": {"created_at": now},
        "at work": {**held, "lease_until": now + timedelta(seconds=600)},
        "somebody's command": {"lease_until": now - timedelta(seconds=1), "parameters": {"foreground": True}},
        "ended": {"status": Status.FINISHED, "lease_until": now - timedelta(seconds=1)},
    }
    made = {}
    for name, values in states.items():
        run = plan_run(suite, "parrot")
        EvaluationRun.objects.filter(pk=run.pk).update(**values)
        made[run.pk] = name
    assert sorted(made[run_id] for run_id in runs.abandoned()) == ["given back", "killed"]


def test_a_command_that_is_gone_on_with_in_the_background_is_taken_up_as_well(workers_client, suite):
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot", parameters={"foreground": True})
    runs.resume(run=run)
    EvaluationRun.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(minutes=1))
    assert runs.abandoned() == [run.pk]


def test_the_background_waits_for_a_worker_that_is_not_there_yet(workers_client, suite, monkeypatch):
    monkeypatch.setattr(runner, "TICK", 0.01)
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    workers_client.unhost("parrot")
    Timer(0.3, workers_client.host_script, ["parrot"]).start()
    assert runner.execute(run_id=run.pk, with_parent=True).status == Status.FINISHED


def test_the_background_goes_on_when_a_worker_comes_back(workers_client, suite, monkeypatch):
    monkeypatch.setattr(runner, "TICK", 0.01)
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    submit, asked = workers_client.submit, []

    def once_gone(request):
        asked.append(request)
        if len(asked) == 1:
            raise client.NoWorker("No worker serves parrot at the moment.")
        submit(request)

    monkeypatch.setattr(workers_client, "submit", once_gone)
    assert runner.execute(run_id=run.pk, with_parent=True).status == Status.FINISHED
    assert len(asked) > TURNS


def test_the_background_gives_up_a_chat_model_that_stays_away_and_says_what_helps(
    workers_client, suite, monkeypatch
):
    monkeypatch.setattr(runner, "TICK", 0.01)
    monkeypatch.setattr(runner, "PATIENCE", 0.05)
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    workers_client.unhost("parrot")
    with pytest.raises(Broken, match=r"manage\.py worker --model parrot"):
        runner.execute(run_id=run.pk, with_parent=True)
    run.refresh_from_db()
    assert run.status == Status.FAILED


def test_a_running_run_ends_when_somebody_cancels_it(workers_client, suite, monkeypatch):
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.0)
    host(workers_client, "slow", "tokens=40000&rate=20")
    run = plan_run(suite, "slow")

    def cancel(now: EvaluationRun) -> None:
        runs.cancel(run=EvaluationRun.objects.get(pk=now.pk))

    with pytest.raises(Stopped, match="cancelled"):
        runner.execute(run_id=run.pk, tell=cancel)
    run.refresh_from_db()
    assert (run.status, run.runner, run.cancel_requested) == (Status.CANCELLED, "", False)
    workers_client.wait_idle()  # its 2000 seconds of words were stopped as well


def test_a_run_that_is_started_again_and_again_without_a_finished_call_fails(workers_client, suite):
    host(workers_client, "parrot")
    run = plan_run(suite, "parrot")
    EvaluationRun.objects.filter(pk=run.pk).update(claims=leases.MOST_CLAIMS)
    with pytest.raises(Broken, match="got nowhere"):
        runner.execute(run_id=run.pk)
    run.refresh_from_db()
    assert run.status == Status.FAILED
