"""A person's own pages: profile, API keys, usage."""

import re
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.db import IntegrityError
from django.test import Client
from django.utils import timezone

from chatsite.accounts.models import ApiKey, AuditEvent, UsageRecord, User
from chatsite.accounts.selectors import usage
from chatsite.accounts.services import api_keys, limits, people
from chatsite.accounts.services.api_keys import Restrictions
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(alice, client):
    """Alice's browser."""
    client.force_login(alice)
    return client


# --- profile -----------------------------------------------------------------------------------------------


def save(page, name="Alice", email="alice@example.org", password=""):
    return page.post("/settings/", {"name": name, "email": email, "password": password})


def test_it_shows_what_is_stored(page):
    text = page.get("/settings/").content.decode()
    assert "alice@example.org" in text
    assert "<strong>alice</strong>" in text


def test_it_changes_the_name_without_a_password(page, alice):
    assert save(page, name="  Alice Liddell ").url == "/settings/"
    alice.refresh_from_db()
    assert (alice.first_name, alice.email) == ("Alice Liddell", "alice@example.org")


def test_it_changes_the_address_with_the_password(page, alice):
    assert save(page, email="new@EXAMPLE.org", password=PASSWORD).status_code == 302
    alice.refresh_from_db()
    assert alice.email == "new@example.org"
    event = AuditEvent.objects.get()
    assert (event.kind, event.user, event.address) == ("email_changed", alice, "127.0.0.1")


@pytest.mark.parametrize("password", ["", "wrong"])
def test_it_does_not_change_the_address_without_the_password(page, alice, password):
    response = save(page, email="new@example.org", password=password)
    assert list(response.context["form"].errors) == ["password"]
    alice.refresh_from_db()
    assert alice.email == "alice@example.org"


def test_it_stops_a_stolen_session_from_guessing_the_password_here(page, alice):
    for _ in range(limits.PASSWORD_CONFIRMATION.attempts):
        assert save(page, email="new@example.org", password="wrong").status_code == 200
    assert save(page, email="new@example.org", password=PASSWORD).status_code == 429
    alice.refresh_from_db()
    assert alice.email == "alice@example.org"


def test_it_does_not_count_honest_changes(page):
    for number in range(limits.PASSWORD_CONFIRMATION.attempts + 5):
        assert save(page, name=f"Alice {number}").status_code == 302


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"email": ""}, "email"),
        ({"email": "no address"}, "email"),
        ({"email": "bob@example.org"}, "email"),
        ({"email": "BOB@example.org"}, "email"),
        ({"name": "n" * 151}, "name"),
        ({"name": "a\x00b"}, "name"),
    ],
)
def test_it_names_the_field_that_it_refuses(page, alice, bob, changes, field):
    response = save(page, password=PASSWORD, **changes)
    assert response.status_code == 200
    assert list(response.context["form"].errors) == [field]
    alice.refresh_from_db()
    assert (alice.first_name, alice.email) == ("", "alice@example.org")


def test_it_lets_an_account_without_an_address_stay_so(client):
    person = User.objects.create_user("ops", "", PASSWORD)
    client.force_login(person)
    assert save(client, name="Operator", email="").status_code == 302


def test_it_names_the_field_when_somebody_took_the_address_a_moment_ago(page, alice, bob):
    check = people._refuse_taken
    with mock.patch.object(people, "_refuse_taken") as fake:
        fake.side_effect = lambda user: None if fake.call_count == 1 else check(user)
        response = save(page, email="bob@example.org", password=PASSWORD)
    assert list(response.context["form"].errors) == ["email"]


def test_it_changes_nobody_elses_profile(page, alice, bob):
    page.post(
        "/settings/", {"id": bob.pk, "user": bob.pk, "username": "bob", "name": "X", "email": alice.email}
    )
    bob.refresh_from_db()
    alice.refresh_from_db()
    assert (bob.first_name, alice.first_name, alice.username) == ("", "X", "alice")


@pytest.mark.parametrize("path", ["/settings/", "/settings/keys/"])
def test_it_asks_for_a_csrf_token(alice, path):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post(path, {"name": "x", "email": "alice@example.org"}).status_code == 403


@pytest.mark.parametrize("path", ["/settings/", "/settings/password/", "/settings/keys/", "/settings/usage/"])
def test_no_cache_keeps_a_persons_page(page, path):
    assert "no-store" in page.get(path).headers["Cache-Control"]


@pytest.mark.parametrize(
    "path", ["/settings/", "/settings/password/", "/settings/keys/", "/settings/usage/", "/password-reset/"]
)
def test_the_pages_have_no_inline_script_or_style(page, path):
    """The content security policy would block them."""
    text = page.get(path).content.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", text)


# --- API keys ----------------------------------------------------------------------------------------------


def create(page, name="laptop", expires=""):
    return page.post("/settings/keys/", {"name": name, "expires": expires})


def test_it_shows_a_new_key_once_with_a_way_to_copy_it(page, alice):
    response = create(page)
    key = response.context["key"]
    api_key = api_keys.authenticate(key)
    assert api_key is not None
    assert api_key.owner == alice
    text = response.content.decode()
    assert text.count(key) == 1
    assert re.search(rf'id="new-key">{key}</code>.*data-copy="#new-key"', text, re.DOTALL)
    assert "no-store" in response.headers["Cache-Control"]

    later = page.get("/settings/keys/").content.decode()
    assert key not in later
    assert key[:10] in later


def test_it_keeps_the_key_out_of_the_session_and_the_trail(page, alice):
    key = create(page).context["key"]
    assert key not in str(dict(page.session))
    assert key not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize(("choice", "days"), [("7", 7), ("30", 30), ("90", 90), ("365", 365)])
def test_it_sets_the_expiry(page, choice, days):
    create(page, expires=choice)
    expires_at = ApiKey.objects.get().expires_at
    assert expires_at is not None
    left = expires_at - timezone.now()
    assert timedelta(days=days, minutes=-1) < left <= timedelta(days=days)


def test_it_makes_a_key_without_end_when_none_is_chosen(page):
    create(page)
    assert ApiKey.objects.get().expires_at is None


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"expires": "0"}, "expires"),
        ({"expires": "-1"}, "expires"),
        ({"expires": "99999999999999"}, "expires"),
        ({"expires": "tomorrow"}, "expires"),
    ],
)
def test_it_makes_no_key_from_bad_input_and_names_the_field(page, values, field):
    response = create(page, **values)
    assert response.status_code == 200
    assert list(response.context["form"].errors) == [field]
    assert not ApiKey.objects.exists()


def test_it_says_so_when_there_are_too_many_keys(page):
    with mock.patch.object(api_keys, "KEYS_PER_PERSON", 1):
        create(page)
        response = create(page)
    assert "Revoke one first" in response.content.decode()
    assert ApiKey.objects.count() == 1


def test_it_shows_a_name_as_text_and_not_as_markup(page):
    assert "<script>alert" not in create(page, name="<script>alert(1)</script>").content.decode()


def test_it_lists_ones_own_usable_keys_only(page, alice, bob):
    api_keys.create(owner=bob, name="of bob")
    revoked, _ = api_keys.create(owner=alice, name="thrown away")
    api_keys.revoke(api_key=revoked)
    api_keys.create(owner=alice, name="laptop")
    text = page.get("/settings/keys/").content.decode()
    assert "laptop" in text
    assert "of bob" not in text
    assert "thrown away" not in text


def test_it_marks_an_expired_key(page, alice):
    api_keys.create(owner=alice, name="laptop", expires_at=timezone.now() + timedelta(hours=1))
    assert "Expired" not in page.get("/settings/keys/").content.decode()
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    assert "Expired" in page.get("/settings/keys/").content.decode()


def test_it_lists_many_keys_with_as_many_queries_as_one(page, alice, django_assert_max_num_queries):
    for number in range(30):
        api_keys.create(owner=alice, name=f"key {number}")
    with django_assert_max_num_queries(6):
        assert "key 29" in page.get("/settings/keys/").content.decode()


def test_it_revokes_a_key(page, alice):
    api_key, key = api_keys.create(owner=alice, name="laptop")
    assert page.post(f"/settings/keys/{api_key.pk}/revoke/").url == "/settings/keys/"
    assert api_keys.authenticate(key) is None
    assert AuditEvent.objects.filter(kind="key_revoked", user=alice, address="127.0.0.1").count() == 1


def test_charlie_cannot_revoke_alices_key(alice, charlie):
    api_key, key = api_keys.create(owner=alice, name="laptop")
    browser = Client()
    browser.force_login(charlie)
    assert browser.post(f"/settings/keys/{api_key.pk}/revoke/").status_code == 404
    assert api_keys.authenticate(key) == api_key


@pytest.mark.parametrize("pk", ["0", "999999", "9" * 40])
def test_it_knows_no_key_of_that_number(page, pk):
    assert page.post(f"/settings/keys/{pk}/revoke/").status_code == 404


def test_it_does_not_revoke_by_get(page, alice):
    api_key, key = api_keys.create(owner=alice, name="laptop")
    assert page.get(f"/settings/keys/{api_key.pk}/revoke/").url == "/settings/keys/"
    assert api_keys.authenticate(key) == api_key


def test_it_does_not_revoke_without_a_csrf_token(alice):
    api_key, key = api_keys.create(owner=alice, name="laptop")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post(f"/settings/keys/{api_key.pk}/revoke/").status_code == 403
    assert api_keys.authenticate(key) == api_key


# --- usage -------------------------------------------------------------------------------------------------


def use(user, created_at, *, model="parrot", prompt=10, completion=5):
    return UsageRecord.objects.create(
        request_id=f"{UsageRecord.objects.count():032x}",
        user=user,
        source="api",
        chat_model=model,
        prompt_tokens=prompt,
        completion_tokens=completion,
        outcome="stop",
        created_at=created_at,
    )


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def noon():
    with mock.patch.object(timezone, "now", return_value=NOON):
        yield NOON


def test_it_sums_tokens_by_day_and_chat_model_newest_day_first(alice, noon):
    yesterday = noon - timedelta(days=1)
    use(alice, noon)
    use(alice, noon - timedelta(hours=1), prompt=1, completion=1)
    use(alice, noon, model="lorem")
    use(alice, yesterday)
    rows = usage.per_day(user=alice)
    assert [tuple(row) for row in rows] == [
        (noon.date(), "lorem", 1, 10, 5),
        (noon.date(), "parrot", 2, 11, 6),
        (yesterday.date(), "parrot", 1, 10, 5),
    ]
    assert tuple(usage.totals(rows)) == (4, 31, 16)
    assert usage.totals(rows).total_tokens == 47


def test_it_shows_thirty_whole_days(alice, noon):
    first_midnight = datetime(2026, 10, 26, tzinfo=UTC)
    use(alice, first_midnight)
    use(alice, first_midnight - timedelta(microseconds=1))
    assert [row.day for row in usage.per_day(user=alice)] == [first_midnight.date()]


def test_it_cuts_days_where_the_site_is(alice, noon, settings):
    settings.TIME_ZONE = "Asia/Shanghai"
    with timezone.override("Asia/Shanghai"):
        use(alice, datetime(2026, 11, 23, 15, 59, tzinfo=UTC))
        use(alice, datetime(2026, 11, 23, 16, 1, tzinfo=UTC))
        assert [str(row.day) for row in usage.per_day(user=alice)] == ["2026-11-24", "2026-11-23"]


def test_it_counts_everything_for_the_admin(alice, bob, noon):
    use(alice, noon)
    use(alice, noon - timedelta(days=400))
    use(bob, noon)
    assert tuple(usage.of_user(user=alice)) == (2, 20, 10)
    assert tuple(usage.of_user(user=User.objects.create_user("new"))) == (0, 0, 0)


def test_it_shows_ones_own_usage_only(page, alice, bob):
    use(alice, timezone.now(), model="alices-model", prompt=1234567)
    use(bob, timezone.now(), model="bobs-model")
    text = page.get("/settings/usage/").content.decode()
    assert "alices-model" in text
    assert "1234567" in text.replace(",", "")
    assert "bobs-model" not in text


def test_it_says_so_when_nothing_was_used(page):
    assert "Nothing used yet" in page.get("/settings/usage/").content.decode()


def test_it_shows_a_busy_month_in_a_query_for_each_table(page, alice, django_assert_max_num_queries):
    for number in range(90):
        use(alice, timezone.now() - timedelta(days=number % 30), model=f"model-{number % 3}")
    with django_assert_max_num_queries(7):
        assert page.get("/settings/usage/").status_code == 200


def test_two_accounts_never_share_an_address(alice, bob):
    with pytest.raises(IntegrityError):
        User.objects.filter(pk=bob.pk).update(email="ALICE@example.org")


# --- restrictions ------------------------------------------------------------------------------------------


def test_a_new_key_can_be_restricted(page, alice):
    answer = page.post(
        "/settings/keys/",
        {
            "name": "ci", "expires": "7", "allowed_models": "parrot, org/parrot-1.0",
            "allowed_families": ["chat", "models"],
            "allowed_addresses": "192.0.2.9/24 2001:db8::1", "requests_per_minute": "5", "tokens_per_day": "1000",
        },
    )  # fmt: skip

    assert answer.status_code == 201
    key = ApiKey.objects.get(owner=alice)
    assert key.allowed_models == ["parrot", "org/parrot-1.0"]
    assert key.allowed_families == ["chat", "models"]
    assert key.allowed_addresses == ["192.0.2.0/24", "2001:db8::1/128"]
    assert (key.requests_per_minute, key.requests_per_day, key.tokens_per_day) == (5, None, 1000)


@pytest.mark.parametrize(
    ("field", "value"),
    [("allowed_addresses", "nowhere"), ("allowed_families", ["admin"]), ("requests_per_day", "0")],
)
def test_a_restriction_that_is_none_is_said_at_its_field(page, alice, field, value):
    answer = page.post("/settings/keys/", {"name": "ci", field: value})

    assert answer.status_code == 200
    assert answer.context["form"].errors[field]
    assert not ApiKey.objects.exists()


def test_a_keys_restrictions_can_be_changed_and_taken_away(page, alice):
    key, _ = api_keys.create(owner=alice, name="ci", restrictions=Restrictions(models=["parrot"]))
    form = page.get(f"/settings/keys/{key.pk}/").content.decode()
    assert "parrot" in form

    page.post(f"/settings/keys/{key.pk}/", {"name": "nightly", "tokens_per_minute": "9"})

    key.refresh_from_db()
    assert (key.name, key.allowed_models, key.tokens_per_minute) == ("nightly", [], 9)
    assert AuditEvent.objects.filter(kind="key_changed", user=alice).exists()


@pytest.mark.parametrize("method", ["get", "post"])
def test_somebody_elses_key_is_not_there(page, bob, method):
    key, _ = api_keys.create(owner=bob, name="ci")

    assert getattr(page, method)(f"/settings/keys/{key.pk}/", {"name": "mine"}).status_code == 404
    key.refresh_from_db()
    assert key.name == "ci"


def test_usage_is_shown_by_key_and_as_a_plot(page, alice):
    key, _ = api_keys.create(owner=alice, name="ci-key")
    UsageRecord.objects.create(
        request_id="1" * 32, user=alice, api_key=key, source="api", chat_model="parrot",
        prompt_tokens=70, completion_tokens=7, outcome="stop",
    )  # fmt: skip

    text = page.get("/settings/usage/").content.decode()

    assert "ci-key" in text
    assert 'class="plot"' in text
    assert "77" in text


def test_a_person_sees_the_limits_that_hold(page, alice, settings):
    settings.API_TOKENS_PER_DAY = 4711

    assert "4711 tokens per day" in page.get("/settings/usage/").content.decode()
