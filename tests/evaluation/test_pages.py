"""The evaluation pages of the site: who may read what, and what stands there."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from evaluation.models import StoredAnswer, StoredVerdict
from evaluation.report import report
from evaluation.selectors import reading
from tests.evaluation.reading import HOSTILE, make_run, vote
from tests.factories import make_user
from tests.workers_admin.pages import text


@pytest.fixture
def staff(db):
    return make_user("sam", is_staff=True)


@pytest.fixture
def run(db):
    return make_run()


def pages_of(run) -> list[str]:
    return [
        reverse("evaluation:run", args=[run.pk]),
        reverse("evaluation:progress", args=[run.pk]),
        reverse("evaluation:question", args=[run.pk, 1]),
    ]


def test_it_sends_strangers_to_the_login(client, run):
    for address in [reverse("evaluation:runs"), *pages_of(run)]:
        response = client.get(address)
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/login/")


def test_it_hides_another_persons_evaluation(client, charlie, run):
    client.force_login(charlie)
    assert [client.get(address).status_code for address in pages_of(run)] == [404, 404, 404]
    assert "No evaluation yet." in text(client.get(reverse("evaluation:runs")))


def test_it_shows_people_their_own(client, alice):
    run = make_run(created_by=alice)
    client.force_login(alice)
    assert [client.get(address).status_code for address in pages_of(run)] == [200, 200, 200]
    assert "parrot, poet" in text(client.get(reverse("evaluation:runs")))


def test_it_opens_all_with_the_permission(client, bob, run):
    bob.user_permissions.add(Permission.objects.get(codename="view_evaluationrun"))
    client.force_login(bob)
    assert client.get(pages_of(run)[0]).status_code == 200


def test_it_shows_answers_side_by_side_with_every_judges_verdict(client, staff, run):
    client.force_login(staff)
    page = text(client.get(reverse("evaluation:question", args=[run.pk, 1])))
    for words in ("torrap says 1 to 1", "teop says 2 to 1", "strict", "lenient", "parrot shown first:"):
        assert words in page


@pytest.mark.parametrize("position", [0, 9, 10**12])
def test_it_answers_404_beyond_the_last_question(client, staff, run, position):
    client.force_login(staff)
    assert client.get(reverse("evaluation:question", args=[run.pk, position])).status_code == 404


def test_it_links_each_question_with_its_neighbours(client, staff, run):
    client.force_login(staff)
    page = client.get(reverse("evaluation:question", args=[run.pk, 2])).content.decode()
    assert reverse("evaluation:question", args=[run.pk, 1]) in page
    assert reverse("evaluation:question", args=[run.pk, 3]) in page


def test_it_shows_hostile_answers_judgments_and_names_as_text(client, staff):
    run = make_run(chat_models=(HOSTILE, "poet"))
    StoredAnswer.objects.update(turns=[HOSTILE, HOSTILE])
    StoredVerdict.objects.update(judgment=HOSTILE)
    client.force_login(staff)
    for address in pages_of(run):
        page = client.get(address).content.decode()
        assert "<script>alert" not in page
        assert "onerror=alert" not in page.replace("&lt;img src=x onerror=alert", "")


def test_it_writes_no_inline_script_or_style(client, staff, run):
    client.force_login(staff)
    for address in pages_of(run):
        page = client.get(address).content.decode()
        assert " style=" not in page
        assert "<style" not in page
        assert "<script>" not in page


def test_it_reports_progress_and_reloads_the_page_at_the_end(client, staff):
    run = make_run(status="running", answers_total=16, answers_done=4, verdicts_total=16, verdicts_done=4)
    client.force_login(staff)
    address = reverse("evaluation:progress", args=[run.pk])
    response = client.get(address)
    assert "4 of 16 answers" in text(response)
    assert "25%" in text(response)
    assert "HX-Refresh" not in response.headers
    run.status = "finished"
    run.save()
    assert client.get(address).headers["HX-Refresh"] == "true"


def test_it_opens_before_there_is_any_answer(client, staff):
    run = make_run(status="queued")
    run.answers.all().delete()
    run.verdicts.all().delete()
    client.force_login(staff)
    assert "No verdicts yet." in text(client.get(pages_of(run)[0]))
    assert "Question 1, turn 2?" in text(client.get(pages_of(run)[2]))


def test_it_names_no_person_who_judged(client, staff, alice, run):
    vote(run, alice)
    client.force_login(staff)
    page = text(client.get(reverse("evaluation:question", args=[run.pk, 1])))
    assert "person 1" in page
    assert "alice" not in page


def test_it_lists_with_a_bounded_number_of_queries(client, staff, django_assert_max_num_queries):
    for _ in range(5):
        make_run(amount=2)
    client.force_login(staff)
    with django_assert_max_num_queries(6):
        client.get(reverse("evaluation:runs"))


def test_it_opens_for_a_superuser(client, db, run):
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    assert [client.get(address).status_code for address in pages_of(run)] == [200, 200, 200]


def test_it_is_in_the_operators_menu_only(client, staff, alice):
    client.force_login(alice)
    assert reverse("evaluation:runs") not in client.get("/settings/").content.decode()
    client.force_login(staff)
    assert reverse("evaluation:runs") in client.get("/settings/").content.decode()


def compare(client, *runs, **options):
    return client.get(reverse("evaluation:compare"), {"run": [run.pk for run in runs]}, **options)


def test_it_compares_evaluations_of_the_same_suite(client, staff):
    old = make_run(chat_models=("parrot",), mode="single")
    new = make_run(chat_models=("parrot", "poet"), mode="single", seed=8)
    client.force_login(staff)
    page = text(compare(client, old, new))
    assert "tiny: 2 evaluations" in page
    dated = f"parrot ({old.created_at:%Y-%m-%d %H:%M})"
    for name in ("parrot", "poet", dated):
        assert name in page


def test_it_refuses_to_compare_different_questions(client, staff):
    client.force_login(staff)
    response = compare(client, make_run(amount=2), make_run(amount=3), follow=True)
    assert "their numbers do not compare" in text(response)


def test_it_compares_two_at_least_and_only_what_a_person_may_read(client, staff, alice, run):
    client.force_login(staff)
    assert "Choose from 2 to 8" in text(compare(client, run, run, follow=True))
    assert client.get(reverse("evaluation:compare"), {"run": ["x", "y"]}).status_code == 404
    client.force_login(alice)
    assert compare(client, run, make_run(created_by=alice)).status_code == 404


def test_it_keeps_a_report_until_there_is_something_new(client, staff, alice, run, monkeypatch):
    built = []

    def build(*given):
        built.append(given)
        return report.build(*given)

    monkeypatch.setattr(reading, "build", build)
    client.force_login(staff)
    address = pages_of(run)[0]
    client.get(address)
    client.get(address)
    assert len(built) == 1
    vote(run, alice)
    assert "What people prefer" in text(client.get(address))
    assert len(built) == 2


def test_it_is_where_the_admin_says(run):
    assert run.get_absolute_url() == pages_of(run)[0]
