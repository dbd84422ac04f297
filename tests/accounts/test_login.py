"""The log-in page, log-out, and the admin's door."""

import re
from unittest import mock

import pytest
from django.contrib.auth import SESSION_KEY, aauthenticate
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from chatsite.accounts.models import AuditEvent, User
from chatsite.accounts.services import limits
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db

NO_MATCH = "do not belong together"


def logged_in_as(client) -> str | None:
    key = client.session.get(SESSION_KEY)
    return User.objects.get(pk=key).username if key else None


@pytest.mark.parametrize(
    "login", ["alice", "ALICE", " alice ", "alice@example.org", "Alice@Example.ORG", "ａｌｉｃｅ"]
)
def test_it_logs_in_by_username_or_address_in_any_case(alice, client, log_in, login):
    response = log_in(login)
    assert response.status_code == 302
    assert response.url == "/chat/"
    assert logged_in_as(client) == "alice"


def test_it_logs_in_by_an_address_longer_than_a_username_may_be(client, log_in):
    address = "a" * 64 + "@" + ".".join(["d" * 60] * 3) + ".org"
    User.objects.create_user("long", address, PASSWORD)
    assert len(address) > 150
    log_in(address)
    assert logged_in_as(client) == "long"


def test_it_gives_an_address_to_its_owner_and_not_to_a_username_that_looks_like_it(alice, client, log_in):
    User.objects.create_user("alice@example.org", "impostor@example.org", "another long password")
    log_in("alice@example.org")
    assert logged_in_as(client) == "alice"
    client.logout()
    log_in("alice@example.org", "another long password")
    assert logged_in_as(client) is None


def test_it_lets_an_operator_made_username_with_an_at_sign_in(client, log_in):
    User.objects.create_user("ops@site", "", PASSWORD)
    log_in("ops@site")
    assert logged_in_as(client) == "ops@site"


@pytest.mark.django_db(transaction=True)
async def test_it_logs_in_by_address_in_async_code_too():
    await User.objects.acreate_user("dora", "dora@example.org", PASSWORD)
    user = await aauthenticate(username="dora@example.org", password=PASSWORD)
    assert user is not None
    assert user.username == "dora"


def test_it_looks_a_name_up_by_the_unique_indexes(alice):
    with CaptureQueriesContext(connection) as queries:
        User.objects.get_by_natural_key("alice@example.org")
        User.objects.get_by_natural_key("alice")
    plans = []
    with connection.cursor() as cursor:
        for query in queries:
            cursor.execute("EXPLAIN QUERY PLAN " + query["sql"])
            plans.append(str(cursor.fetchall()))
    assert "email_unique_ignoring_case" in plans[0]
    assert "username_unique_ignoring_case" in plans[1]


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("alice", "wrong"),
        ("nobody", PASSWORD),
        ("nobody@example.org", PASSWORD),
        ("", PASSWORD),
        ("alice", ""),
        ("alice\x00", PASSWORD),
        ("a" * 300, PASSWORD),
        ("alice", PASSWORD.upper()),
        ("alice", " " + PASSWORD),
        ("' OR 1=1 --", PASSWORD),
        ("%", PASSWORD),
    ],
)
def test_it_refuses_anything_else(alice, client, log_in, login, password):
    assert log_in(login, password).status_code == 200
    assert logged_in_as(client) is None


def test_it_says_the_same_for_a_wrong_password_an_unknown_name_and_an_inactive_account(alice, log_in):
    make_user("gone", is_active=False)
    pages = [log_in("alice", "wrong"), log_in("nobody", PASSWORD), log_in("gone", PASSWORD)]
    texts = {
        re.sub(r'value="[^"]*"|alice|nobody|gone', "", page.content.decode().split("<main")[1])
        for page in pages
    }
    assert len(texts) == 1
    assert NO_MATCH in texts.pop()


def test_it_works_as_hard_for_an_unknown_name_as_for_a_wrong_password(alice, log_in):
    make_user("gone", is_active=False)
    for login in ["alice", "nobody", "gone", "nobody@example.org", "alice@example.org"]:
        with mock.patch(
            "django.contrib.auth.hashers.MD5PasswordHasher.encode", return_value="md5$salt$hash"
        ) as encode:
            log_in(login, "wrong")
        assert encode.call_count == 1, login


def test_it_does_not_put_the_password_back_into_the_page(alice, log_in):
    assert "a secret typo" not in log_in("alice", "a secret typo").content.decode()


def test_it_changes_the_session_key_so_that_a_planted_session_is_worthless(alice, client, log_in):
    session = client.session
    session["planted"] = True
    session.save()
    planted = session.session_key
    assert client.cookies["sessionid"].value == planted
    log_in("alice")
    assert client.cookies["sessionid"].value != planted
    other = Client()
    other.cookies["sessionid"] = planted
    assert logged_in_as(other) is None


def test_it_does_not_hand_one_persons_session_to_the_next(alice, bob, client):
    client.force_login(alice)
    session = client.session
    session["draft"] = "alice's"
    session.save()
    client.logout()
    client.force_login(bob)
    assert "draft" not in client.session


def test_it_asks_for_a_csrf_token(alice):
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/login/", {"username": "alice", "password": PASSWORD}).status_code == 403
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', strict.get("/login/").content.decode())
    assert token is not None
    data = {"username": "alice", "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
    assert strict.post("/login/", data).status_code == 302


@pytest.mark.parametrize("target", ["/settings/keys/", "/chat/?q=1", "http://testserver/settings/"])
def test_it_goes_on_to_where_one_wanted_to_go(alice, log_in, target):
    assert log_in("alice", follow_to=target).url == target


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "https:evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://testserver@evil.example/",
        "http://testserver.evil.example/",
        "\x00//evil.example",
        "http://[",
        "/login/",
        "/login/?next=/login/",
    ],
)
def test_it_never_leaves_the_site_and_never_runs_in_a_circle(alice, client, log_in, target):
    assert log_in("alice", follow_to=target).url == "/chat/"
    assert client.get("/login/", {"next": target}).url == "/chat/"


def test_it_sends_a_person_who_is_logged_in_on(alice, client):
    client.force_login(alice)
    assert client.get("/login/").url == "/chat/"


@pytest.mark.parametrize(
    "path",
    ["/settings/", "/settings/password/", "/settings/keys/", "/settings/usage/", "/settings/keys/1/revoke/"],
)
def test_it_asks_strangers_to_log_in_first(client, path):
    for response in (client.get(path), client.post(path)):
        assert response.status_code in (302, 405)
        if response.status_code == 302:
            assert response.url == f"/login/?next={path}"


def test_it_offers_sign_up_only_while_it_is_open(client, settings):
    assert "/signup/" in client.get("/login/").content.decode().split("<main")[1]
    settings.SIGNUP_OPEN = False
    assert "/signup/" not in client.get("/login/").content.decode().split("<main")[1]


def test_it_logs_out(alice, client):
    client.force_login(alice)
    response = client.post("/logout/")
    assert response.url == "/login/"
    assert logged_in_as(client) is None


def test_it_does_not_log_out_by_get(alice, client):
    client.force_login(alice)
    assert client.get("/logout/").status_code == 405
    assert logged_in_as(client) == "alice"


def test_it_does_not_log_out_without_a_csrf_token(alice):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post("/logout/").status_code == 403
    assert logged_in_as(strict) == "alice"


def test_it_shows_out_a_person_whose_account_is_switched_off(alice, client):
    client.force_login(alice)
    alice.is_active = False
    alice.save()
    assert client.get("/settings/").status_code == 302


# --- attempts ----------------------------------------------------------------------------------------------


def fail(log_in, times: int, login: str = "alice", **headers):
    for _ in range(times):
        response = log_in(login, "wrong", **headers)
    return response


def test_it_refuses_the_eleventh_guess_with_a_page_that_says_how_long_to_wait(alice, client, log_in):
    assert fail(log_in, limits.LOGIN_HERE.attempts).status_code == 200
    response = log_in("alice")
    assert response.status_code == 429
    assert 1 <= int(response.headers["Retry-After"]) <= limits.LOGIN_HERE.seconds
    assert re.search(r"Try again in \d+ (seconds?|minutes?)\.", response.content.decode())
    assert logged_in_as(client) is None


@pytest.mark.parametrize("spelling", ["ALICE", " alice", "ａｌｉｃｅ"])
def test_it_counts_every_spelling_of_a_name_together(alice, log_in, spelling):
    fail(log_in, limits.LOGIN_HERE.attempts)
    assert log_in(spelling).status_code == 429


def test_it_does_not_lock_alice_out_elsewhere_because_somebody_guesses_here(alice, client, log_in):
    fail(log_in, limits.LOGIN_HERE.attempts + 5, REMOTE_ADDR="203.0.113.9")
    assert log_in("alice", REMOTE_ADDR="198.51.100.7").status_code == 302


def test_it_stops_guesses_for_one_account_from_many_addresses(alice, log_in):
    for number in range(limits.LOGIN_ANYWHERE.attempts):
        assert log_in("alice", "wrong", REMOTE_ADDR=f"203.0.113.{number}").status_code == 200
    assert log_in("alice", "wrong", REMOTE_ADDR="198.51.100.7").status_code == 429


def test_it_stops_one_address_that_tries_many_accounts(alice, log_in):
    for number in range(limits.LOGIN_ADDRESS.attempts):
        assert log_in(f"person{number}", "wrong").status_code == 200
    assert log_in("alice").status_code == 429


def test_it_cannot_be_fooled_by_a_forged_proxy_header(alice, log_in):
    for number in range(limits.LOGIN_HERE.attempts):
        log_in("alice", "wrong", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}")
    assert log_in("alice", HTTP_X_FORWARDED_FOR="198.51.100.7").status_code == 429


def test_it_counts_an_ipv6_network_as_one_address(alice, log_in):
    for number in range(limits.LOGIN_HERE.attempts):
        log_in("alice", "wrong", REMOTE_ADDR=f"2001:db8::{number:x}")
    assert log_in("alice", REMOTE_ADDR="2001:db8::ffff").status_code == 429


def test_it_does_not_count_those_who_get_in(alice, client, log_in):
    for _ in range(limits.LOGIN_HERE.attempts + 5):
        assert log_in("alice").status_code == 302
        client.logout()


def test_it_still_shows_the_page_to_a_blocked_address(alice, client, log_in):
    fail(log_in, limits.LOGIN_HERE.attempts + 1)
    assert client.get("/login/").status_code == 200


def test_it_lets_people_in_while_the_cache_is_down(alice, client, log_in):
    with (
        mock.patch.object(cache, "add", side_effect=ConnectionError),
        mock.patch.object(cache, "decr", side_effect=ConnectionError),
    ):
        assert log_in("alice").status_code == 302


# --- the trail ---------------------------------------------------------------------------------------------


def test_it_writes_down_who_logged_in_and_who_failed(alice, log_in):
    log_in("alice@example.org", "wrong", REMOTE_ADDR="203.0.113.9")
    log_in("alice", REMOTE_ADDR="198.51.100.7")
    success, failure = AuditEvent.objects.all()
    assert (failure.kind, failure.user, failure.address) == ("login_failed", alice, "203.0.113.9")
    assert (success.kind, success.user, success.address) == ("logged_in", alice, "198.51.100.7")


def test_it_does_not_keep_what_was_typed_for_an_unknown_name(alice, log_in, caplog):
    log_in("my secret in the wrong field", "wrong")
    event = AuditEvent.objects.get()
    assert event.user is None
    assert "secret" not in str(AuditEvent.objects.values().get()) + caplog.text


def test_it_does_not_write_down_an_empty_form(log_in):
    log_in("", "")
    assert not AuditEvent.objects.exists()


# --- the admin's door --------------------------------------------------------------------------------------


def test_the_admin_sends_strangers_to_the_sites_own_page(client):
    response = client.get("/admin/", follow=True)
    assert response.request["PATH_INFO"] == "/login/"
    assert response.context["next"] == "/admin/"


def test_the_admin_lets_nobody_in_by_its_own_form(client):
    make_user("root", is_staff=True, is_superuser=True)
    client.post("/admin/login/", {"username": "root", "password": PASSWORD})
    assert logged_in_as(client) is None


def test_an_administrator_gets_from_the_log_in_to_the_admin(client, log_in):
    make_user("root", is_staff=True, is_superuser=True)
    response = log_in("root", follow_to="/admin/")
    assert client.get(response.url).status_code == 200


def test_the_admin_tells_others_that_it_is_not_for_them(charlie, client):
    client.force_login(charlie)
    response = client.get("/admin/", follow=True)
    assert response.status_code == 403
    assert "may not use the administration" in response.content.decode()


def test_the_admin_never_sends_anybody_to_another_site(client, log_in):
    make_user("root", is_staff=True, is_superuser=True)
    response = client.get("/admin/login/?next=https://evil.example/")
    assert response.url.startswith("/login/?next=")
    assert log_in("root", follow_to="https://evil.example/").url == "/chat/"
