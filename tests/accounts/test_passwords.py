"""Changing a password, and resetting a forgotten one by mail."""

import re
from datetime import datetime, timedelta
from unittest import mock

import pytest
from celery import current_app
from django.contrib.auth.tokens import default_token_generator
from django.test import Client
from kombu.exceptions import OperationalError

from chatsite.accounts.models import AuditEvent, User
from chatsite.accounts.services import limits, passwords
from chatsite.accounts.views.passwords import KEPT_HERE
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db

NEW = "three quiet owls"


def change(client, old=PASSWORD, new=NEW, again=NEW):
    data = {"old_password": old, "new_password1": new, "new_password2": again}
    return client.post("/settings/password/", data)


def test_it_changes_the_password(alice, client):
    client.force_login(alice)
    assert change(client).url == "/settings/"
    alice.refresh_from_db()
    assert alice.check_password(NEW)


def test_it_stays_logged_in_here_and_logs_out_everywhere_else(alice, client):
    elsewhere = Client()
    for browser in (client, elsewhere):
        browser.post("/login/", {"username": "alice", "password": PASSWORD})
        assert browser.get("/settings/").status_code == 200
    change(client)
    assert client.get("/settings/").status_code == 200
    assert elsewhere.get("/settings/").status_code == 302


def test_it_gives_this_session_a_new_key(alice, client):
    client.force_login(alice)
    before = client.session.session_key
    change(client)
    assert client.session.session_key != before


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"old": "wrong"}, "old_password"),
        ({"old": ""}, "old_password"),
        ({"again": "different words"}, "new_password2"),
        ({"new": "short", "again": "short"}, "new_password2"),
        ({"new": "alice@example.org", "again": "alice@example.org"}, "new_password2"),
    ],
)
def test_it_names_the_field_that_it_refuses(alice, client, values, field):
    client.force_login(alice)
    response = change(client, **values)
    assert response.status_code == 200
    assert list(response.context["form"].errors) == [field]
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_it_stops_a_stolen_session_from_guessing_the_password(alice, client):
    client.force_login(alice)
    for _ in range(limits.PASSWORD_CONFIRMATION.attempts):
        assert change(client, old="wrong").status_code == 200
    response = change(client)
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0


def test_it_asks_for_a_csrf_token(alice):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert change(strict).status_code == 403


def test_it_writes_down_the_change(alice, client):
    client.force_login(alice)
    change(client)
    event = AuditEvent.objects.get()
    assert (event.kind, event.user, event.address) == ("password_changed", alice, "127.0.0.1")


# --- reset -------------------------------------------------------------------------------------------------


@pytest.fixture
def ask(client, queued_tasks):
    def post(email: str = "alice@example.org", **headers):
        return client.post("/password-reset/", {"email": email}, **headers)

    return post


@pytest.fixture
def link(alice, ask, run_tasks, mailoutbox) -> str:
    """The path in the mail that Alice gets."""
    ask()
    run_tasks()
    found = re.search(r"http://testserver(/password-reset/\S+/)", mailoutbox[0].body)
    assert found is not None
    return found[1]


def set_password(client, path, new=NEW, again=NEW):
    return client.post(path, {"new_password1": new, "new_password2": again})


def test_nobody_is_told_to_wait_for_a_mail_that_the_site_keeps(ask, client, settings, tmp_path):
    assert "Look into your mailbox" in client.get(ask().url).content.decode()

    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = KEPT_HERE, tmp_path
    page, done = client.get("/password-reset/").content.decode(), client.get(ask().url).content.decode()
    assert "This site sends no mails itself" in page
    assert "This site sends no mails itself" in done
    assert "mailbox" not in done


def test_it_takes_the_way_from_the_mail_to_the_new_password(alice, client, link):
    form = client.get(link, follow=True)
    assert form.redirect_chain == [(link.rsplit("/", 2)[0] + "/set-password/", 302)]
    done = set_password(client, form.request["PATH_INFO"])
    assert done.url == "/password-reset/complete/"
    assert client.get(done.url).status_code == 200
    assert client.post("/login/", {"username": "alice", "password": NEW}).status_code == 302


def test_it_sends_one_mail_to_the_owner_of_the_address(alice, bob, ask, run_tasks, mailoutbox):
    ask("ALICE@example.org")
    run_tasks()
    (mail,) = mailoutbox
    assert mail.to == ["alice@example.org"]
    assert mail.subject == "Set a new password on testserver"
    assert "Hello alice" in mail.body


@pytest.mark.parametrize(
    ("email", "secure", "expected"), [("alice@example.org", True, "https://testserver/password-reset/")]
)
def test_it_writes_https_into_the_mail_when_the_site_has_it(
    alice, ask, run_tasks, mailoutbox, email, secure, expected
):
    ask(email, secure=secure)
    run_tasks()
    assert expected in mailoutbox[0].body


def test_it_does_not_escape_the_mail_as_if_it_were_a_page(ask, run_tasks, mailoutbox):
    User.objects.create_user("o'hara&co", "ohara@example.org", PASSWORD)
    ask("ohara@example.org")
    run_tasks()
    assert "Hello o'hara&co," in mailoutbox[0].body


def test_it_answers_alike_and_does_alike_whether_or_not_the_address_is_known(alice, ask, queued_tasks):
    User.objects.create_user("gone", "gone@example.org", PASSWORD, is_active=False)
    answers = [ask(email) for email in ("alice@example.org", "nobody@example.org", "gone@example.org")]
    assert {(answer.status_code, answer.url) for answer in answers} == {(302, "/password-reset/done/")}
    assert [name for name, _ in queued_tasks] == ["accounts.send_reset_mail"] * 3


def test_it_asks_the_database_nothing_about_the_address(
    alice, client, queued_tasks, django_assert_num_queries
):
    with django_assert_num_queries(0):
        client.post("/password-reset/", {"email": "alice@example.org"})


def test_it_sends_nothing_to_strangers_and_to_accounts_that_are_off(alice, ask, run_tasks, mailoutbox):
    User.objects.create_user("gone", "gone@example.org", PASSWORD, is_active=False)
    # The second is another letter that some databases and fonts take for the first.
    for email in ("nobody@example.org", "gone@example.org", "alıce@example.org"):
        ask(email)
    run_tasks()
    assert mailoutbox == []


def test_a_broken_task_argument_sends_nothing(mailoutbox):
    passwords.send_reset_mail(email="no address", host="testserver", secure=False, language="en")
    assert mailoutbox == []


@pytest.mark.parametrize(
    "email", ["", "no address", "a@example.org\nBcc: b@example.org", "a" * 300 + "@example.org"]
)
def test_it_refuses_what_is_no_address(ask, queued_tasks, email):
    response = ask(email)
    assert response.status_code == 200
    assert list(response.context["form"].errors) == ["email"]
    assert queued_tasks == []


def test_it_says_so_when_the_mail_cannot_be_queued(alice, client):
    with mock.patch.object(current_app, "send_task", side_effect=OperationalError("no broker")):
        response = client.post("/password-reset/", {"email": "alice@example.org"})
    assert response.status_code == 503
    assert "Try again in a few minutes" in response.content.decode()


def test_it_does_not_send_a_mailbox_mail_after_mail(alice, ask, queued_tasks):
    for _ in range(limits.RESET_MAILBOX.attempts):
        assert ask().status_code == 302
    assert ask("Alice@Example.org").status_code == 429
    assert len(queued_tasks) == limits.RESET_MAILBOX.attempts


def test_it_limits_unknown_addresses_just_the_same(ask):
    for _ in range(limits.RESET_MAILBOX.attempts):
        assert ask("nobody@example.org").status_code == 302
    assert ask("nobody@example.org").status_code == 429


def test_it_stops_one_client_that_asks_for_many_mailboxes(ask):
    for number in range(limits.RESET_ADDRESS.attempts):
        assert ask(f"person{number}@example.org").status_code == 302
    response = ask()
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0


def test_a_link_works_once(client, link):
    path = client.get(link).url
    set_password(client, path)
    response = Client().get(link)
    assert response.status_code == 200
    assert "does not work any more" in response.content.decode()


def test_a_link_dies_with_a_log_in_with_a_new_address_and_with_time(alice, client, link):
    token = link.split("/")[-2]
    assert default_token_generator.check_token(alice, token)
    alice.email = "new@example.org"
    assert not default_token_generator.check_token(alice, token)
    alice.refresh_from_db()
    alice.last_login = datetime.now()
    assert not default_token_generator.check_token(alice, token)
    alice.refresh_from_db()
    later = datetime.now() + timedelta(days=3, seconds=5)
    with mock.patch.object(default_token_generator, "_now", return_value=later):
        assert not default_token_generator.check_token(alice, token)


def test_a_link_of_alice_does_not_open_bobs_account(alice, bob, link):
    from django.utils.encoding import force_bytes
    from django.utils.http import urlsafe_base64_encode

    uid = urlsafe_base64_encode(force_bytes(bob.pk))
    response = Client().get(f"/password-reset/{uid}/{link.split('/')[-2]}/")
    assert "does not work any more" in response.content.decode()


@pytest.mark.parametrize("uid", ["MQ", "x", "!!!", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "LTE", "9" * 3000])
def test_a_made_up_link_is_a_page_and_no_error(alice, client, uid):
    response = client.get(f"/password-reset/{uid}/set-password/")
    assert response.status_code == 200
    assert "does not work any more" in response.content.decode()


def test_the_new_password_is_checked_as_at_sign_up(alice, client, link):
    path = client.get(link).url
    assert list(set_password(client, path, "short", "short").context["form"].errors) == ["new_password2"]
    assert list(set_password(client, path, NEW, "other words").context["form"].errors) == ["new_password2"]
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


@pytest.fixture
def thief(alice) -> Client:
    """A browser that is in Alice's account since before she asks for the mail."""
    thief = Client()
    thief.force_login(alice)
    return thief


def test_a_reset_logs_out_every_session(thief, client, link):
    assert thief.get("/settings/").status_code == 200
    set_password(client, client.get(link).url)
    assert thief.get("/settings/").status_code == 302


def test_a_reset_does_not_log_in(client, link):
    set_password(client, client.get(link).url)
    assert client.get("/settings/").status_code == 302


def test_a_reset_is_written_down(alice, client, link):
    set_password(client, client.get(link).url)
    assert (AuditEvent.objects.get().kind, AuditEvent.objects.get().user) == ("password_reset", alice)


def test_the_page_with_the_token_tells_nobody_where_one_came_from(client, link):
    response = client.get(link, follow=True)
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert link.split("/")[-2] not in response.content.decode()


def test_a_host_that_is_not_ours_gets_no_mail_sent(alice, ask, queued_tasks, settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    assert ask(HTTP_HOST="evil.example").status_code == 400
    assert queued_tasks == []
