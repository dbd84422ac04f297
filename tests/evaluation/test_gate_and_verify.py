"""The gate's exit status, and numbers that are read again from the judges' words."""

import io

import pytest
from django.core.management import CommandError, call_command

from evaluation.models import EvaluationRun, StoredVerdict, SuiteSnapshot
from evaluation.services import runner
from tests.evaluation.support import host, plan_run

pytestmark = pytest.mark.django_db


def evaluate(*arguments: str) -> str:
    out = io.StringIO()
    call_command("evaluate", *arguments, stdout=out)
    return out.getvalue()


def judged(candidate: list[float | None], parent: list[float | None]) -> EvaluationRun:
    """A finished run: one question and one turn for each score."""
    questions = [{"question_id": str(n), "category": "x", "turns": ["?"]} for n in range(len(candidate))]
    suite = SuiteSnapshot.objects.create(content_hash="0" * 64, name="gate", questions=questions)
    run = EvaluationRun.objects.create(
        suite=suite, suite_source="gate", chat_models=["new", "old"], judges=["j"], status="finished",
        verdicts_total=2 * len(candidate),
        errors=sum(score is None for score in [*candidate, *parent]),
    )  # fmt: skip
    for name, scores in (("new", candidate), ("old", parent)):
        for number, score in enumerate(scores):
            StoredVerdict.objects.create(
                run=run, kind="single", judge="j", question_id=str(number), turn=1, model_1=name, score=score,
                failed=score is None, judgment="no idea" if score is None else f"[[{score:g}]]",
            )  # fmt: skip
    return run


def gate(*arguments: str) -> tuple[int, str]:
    try:
        return 0, evaluate("gate", "--candidate", "new", "--parent", "old", *arguments)
    except CommandError as error:
        return error.returncode, str(error)


def test_a_clear_improvement_passes():
    run = judged([8.0] * 10, [5.0] * 10)
    status, said = gate("--min-effect", "1")
    assert status == 0
    assert said.startswith(f"Run {str(run.pk)[:8]}: new less old: ")
    assert "+3.000 points" in said
    assert "10 questions" in said


def test_a_loss_does_not():
    judged([4.0] * 10, [5.0] * 10)
    status, said = gate()
    assert (status, "below +0" in said) == (1, True)


def test_a_loss_within_the_allowance_does():
    judged([4.9] * 10, [5.0] * 10)
    assert gate("--min-effect", "-0.2")[0] == 0


def test_an_improvement_that_may_be_chance_does_not_when_one_is_asked_for():
    judged([9.0, 2.0, 9.0, 4.0], [4.0, 5.0, 4.0, 5.0])  # +5, -3, +5, -1
    status, said = gate("--min-effect", "0.5")
    assert (status, "chance" in said) == (1, True)
    assert gate("--min-effect", "0")[0] == 0


@pytest.mark.parametrize(
    ("scores", "message"),
    [(([], []), "No question"), (([7.0, None, None], [5.0, 5.0, 5.0]), "2 of 6 judgments gave no verdict")],
)
def test_what_cannot_be_told_is_status_2(scores, message):
    run = judged(*scores)
    status, said = gate()
    assert (status, message in said) == (2, True)
    assert str(run.pk)[:8] in said, "which run was taken"


def test_no_run_is_status_2():
    assert gate()[0] == 2


def test_nan_is_no_effect():
    judged([8.0] * 3, [5.0] * 3)
    assert gate("--min-effect", "nan")[0] == 2


def test_pairs_are_compared_by_wins_less_losses(workers_client, suite):
    host(workers_client, "old", "reply=bad")
    host(workers_client, "new", "reply=good")
    host(workers_client, "lazy", "reply=[[A]]")
    run = plan_run(suite, "new", judges=["lazy"], mode="pairwise-baseline", baseline="old")
    runner.execute(run_id=run.pk)
    status, said = gate()  # it says A in both orders, which is a tie
    assert (status, "+0.000 of the games" in said) == (0, True)
    StoredVerdict.objects.update(winner="model_2")
    assert gate()[0] == 1


def test_a_run_whose_numbers_are_the_judges_words_agrees():
    run = judged([8.0, None], [5.0, 5.0])
    assert "all agree" in evaluate("verify", str(run.pk))


def test_a_score_that_the_judge_did_not_give_is_found():
    run = judged([8.0, 7.0], [5.0, 5.0])
    StoredVerdict.objects.filter(question_id="1", model_1="new").update(score=9.0)
    with pytest.raises(CommandError, match="1 of 6 differ"):
        evaluate("verify", str(run.pk))


def test_an_error_that_was_counted_as_a_score_is_found():
    run = judged([8.0, None], [5.0, 5.0])
    StoredVerdict.objects.filter(failed=True).update(score=5.0, failed=False)
    with pytest.raises(CommandError, match="2 of 6 differ"):  # the verdict, and the run's count of errors
        evaluate("verify", str(run.pk))


def test_a_lost_verdict_is_found():
    run = judged([8.0, 7.0], [5.0, 5.0])
    StoredVerdict.objects.filter(question_id="1", model_1="new").delete()
    with pytest.raises(CommandError, match="differ"):
        evaluate("verify", str(run.pk))


def test_a_reports_folder_is_checked_against_its_own_data(tmp_path):
    run = judged([8.0, 7.0], [5.0, 5.0])
    folder = tmp_path / "report"
    evaluate("report", str(run.pk), "--out", str(folder))
    assert "all agree" in evaluate("verify", str(folder))
    (judgments,) = folder.glob("data/**/*single*.jsonl")
    judgments.write_text(judgments.read_text().replace('"score": 8', '"score": 2'))
    with pytest.raises(CommandError, match="differ"):
        evaluate("verify", str(folder))


def test_a_folder_that_is_no_report_is_refused(tmp_path):
    with pytest.raises(CommandError, match="no report"):
        evaluate("verify", str(tmp_path))
