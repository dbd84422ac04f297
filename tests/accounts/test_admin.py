"""What the operator can see and do, and what nobody can."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from chatsite.accounts.models import ApiKey, AuditEvent, UsageRecord, User
from chatsite.accounts.services import api_keys
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db

MODELS = ["user", "apikey", "usagerecord", "auditevent"]
RECORDS = ["apikey", "usagerecord", "auditevent"]


@pytest.fixture
def root(db) -> User:
    return User.objects.create_superuser("root", "root@example.org", PASSWORD)


@pytest.fixture
def desk(root, client):
    """The administrator's browser."""
    client.force_login(root)
    return client


@pytest.fixture
def clerk(db) -> Client:
    """Staff who may see and change people and keys, and is no administrator."""
    person = make_user("clerk", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    browser = Client()
    browser.force_login(person)
    return browser


@pytest.fixture
def rows(alice) -> dict[str, int]:
    """One row of each, by model."""
    api_key, _ = api_keys.create(owner=alice, name="laptop")
    usage = UsageRecord.objects.create(
        request_id="0" * 32,
        user=alice,
        api_key=api_key,
        source="api",
        chat_model="parrot",
        prompt_tokens=1234,
    )
    event = AuditEvent.objects.get()
    return {"user": alice.pk, "apikey": api_key.pk, "usagerecord": usage.pk, "auditevent": event.pk}


@pytest.mark.parametrize("model", MODELS)
def test_it_shows_every_list_and_every_row(desk, rows, model):
    assert desk.get(f"/admin/accounts/{model}/").status_code == 200
    assert desk.get(f"/admin/accounts/{model}/?q=alice").status_code == 200
    assert desk.get(f"/admin/accounts/{model}/{rows[model]}/change/").status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_it_shows_nothing_to_others(charlie, client, rows, model):
    client.force_login(charlie)
    assert client.get(f"/admin/accounts/{model}/").status_code == 302
    assert client.get(f"/admin/accounts/{model}/{rows[model]}/change/").status_code == 302


@pytest.mark.parametrize("model", RECORDS)
def test_nobody_adds_changes_or_deletes_a_record(desk, rows, model):
    before = (
        list(ApiKey.objects.values()),
        list(UsageRecord.objects.values()),
        list(AuditEvent.objects.values()),
    )
    assert desk.get(f"/admin/accounts/{model}/add/").status_code == 403
    assert desk.post(f"/admin/accounts/{model}/add/", {"name": "x"}).status_code == 403
    assert desk.post(f"/admin/accounts/{model}/{rows[model]}/change/", {"name": "x"}).status_code == 403
    assert desk.post(f"/admin/accounts/{model}/{rows[model]}/delete/", {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": rows[model], "post": "yes"}
    desk.post(f"/admin/accounts/{model}/", data)
    assert before == (
        list(ApiKey.objects.values()),
        list(UsageRecord.objects.values()),
        list(AuditEvent.objects.values()),
    )


@pytest.mark.parametrize("model", MODELS)
def test_a_long_list_costs_as_many_queries_as_a_short_one(desk, model, django_assert_max_num_queries):
    for number in range(25):
        person = make_user(f"person{number}")
        api_key, _ = api_keys.create(owner=person, name="laptop")
        UsageRecord.objects.create(request_id=f"{number:032}", user=person, api_key=api_key, source="api")
    with django_assert_max_num_queries(12):
        desk.get(f"/admin/accounts/{model}/")


# --- people ------------------------------------------------------------------------------------------------


def test_a_persons_page_shows_keys_and_tokens(desk, rows):
    text = desk.get(f"/admin/accounts/user/{rows['user']}/change/").content.decode()
    assert "laptop" in text
    assert "1,234 prompt + 0 reply tokens in 1 requests" in text


def test_no_page_shows_a_digest(desk, rows):
    digest = ApiKey.objects.get().digest
    for path in (f"user/{rows['user']}/change/", f"apikey/{rows['apikey']}/change/", "apikey/"):
        assert digest not in desk.get(f"/admin/accounts/{path}").content.decode()


def test_no_list_can_be_searched_by_digest(desk, rows):
    digest = ApiKey.objects.get().digest
    assert desk.get(f"/admin/accounts/apikey/?digest__startswith={digest[:4]}").status_code in (302, 400)


def test_it_adds_a_person(desk):
    data = {
        "username": "dora",
        "email": "dora@example.org",
        "usable_password": "true",
        "password1": "three quiet owls",
        "password2": "three quiet owls",
    }
    assert desk.post("/admin/accounts/user/add/", data).status_code == 302
    dora = User.objects.get(username="dora")
    assert dora.email == "dora@example.org"
    assert Client().post("/login/", {"username": "dora", "password": "three quiet owls"}).status_code == 302


@pytest.mark.parametrize(
    ("username", "email", "sentence"),
    [
        ("ALICE", "dora@example.org", "username"),
        ("dora", "ALICE@example.org", "Another account has this e-mail address"),
    ],
)
def test_it_refuses_a_twin_with_a_sentence(desk, alice, username, email, sentence):
    data = {"username": username, "email": email, "usable_password": "false"}
    response = desk.post("/admin/accounts/user/add/", data)
    assert response.status_code == 200
    assert sentence in response.content.decode()
    assert User.objects.filter(username__in=["ALICE", "dora"]).count() == 0


def person_form(browser, pk, **changes):
    """The page of a person as its form would send it, with some values changed."""
    form = browser.get(f"/admin/accounts/user/{pk}/change/").context["adminform"].form
    data = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    return browser.post(f"/admin/accounts/user/{pk}/change/", data | KEYS_FORMSET | changes)


KEYS_FORMSET = {"api_keys-TOTAL_FORMS": 0, "api_keys-INITIAL_FORMS": 0}


def test_it_switches_an_account_off_and_its_keys_with_it(desk, alice):
    _, key = api_keys.create(owner=alice, name="laptop")
    assert person_form(desk, alice.pk, is_active="").status_code == 302
    assert api_keys.authenticate(key) is None


def test_an_administrator_makes_another(desk, alice):
    assert person_form(desk, alice.pk, is_superuser="on", is_staff="on").status_code == 302
    alice.refresh_from_db()
    assert alice.is_superuser


def test_staff_cannot_make_an_administrator_of_anybody(clerk, alice):
    assert (
        person_form(clerk, alice.pk, is_superuser="on", is_staff="on", first_name="Alice").status_code == 302
    )
    alice.refresh_from_db()
    assert (alice.first_name, alice.is_superuser, alice.is_staff) == ("Alice", False, False)


def test_staff_cannot_take_over_an_administrator(clerk, root):
    data = {"password1": "three quiet owls", "password2": "three quiet owls", "usable_password": "true"}
    assert clerk.post(f"/admin/accounts/user/{root.pk}/password/", data).status_code == 403
    assert (
        clerk.post(f"/admin/accounts/user/{root.pk}/change/", {"email": "clerk2@example.org"}).status_code
        == 403
    )
    assert clerk.post(f"/admin/accounts/user/{root.pk}/delete/", {"post": "yes"}).status_code == 403
    clerk.post(
        "/admin/accounts/user/", {"action": "delete_selected", "_selected_action": root.pk, "post": "yes"}
    )
    root.refresh_from_db()
    assert root.check_password(PASSWORD)
    assert root.email == "root@example.org"


def test_an_administrator_deletes_a_person_with_the_keys_and_keeps_the_account_of_tokens(desk, alice, rows):
    assert "laptop" in desk.get(f"/admin/accounts/user/{alice.pk}/delete/").content.decode()
    assert desk.post(f"/admin/accounts/user/{alice.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not ApiKey.objects.exists()
    assert UsageRecord.objects.get().user is None
    assert AuditEvent.objects.get().user is None


# --- keys --------------------------------------------------------------------------------------------------


def revoke(browser, *keys):
    return browser.post(
        "/admin/accounts/apikey/",
        {"action": "revoke", "_selected_action": [key.pk for key in keys]},
        follow=True,
    )


def test_it_revokes_the_selected_keys(desk, root, alice, bob):
    first, first_key = api_keys.create(owner=alice, name="one")
    second, _ = api_keys.create(owner=bob, name="two")
    _, other_key = api_keys.create(owner=bob, name="not selected")
    assert "2 keys are revoked" in revoke(desk, first, second).content.decode()
    assert api_keys.authenticate(first_key) is None
    assert api_keys.authenticate(other_key) is not None
    assert set(AuditEvent.objects.filter(kind="key_revoked").values_list("user", "by", "address")) == {
        (alice.pk, root.pk, "127.0.0.1"),
        (bob.pk, root.pk, "127.0.0.1"),
    }
    assert "0 keys are revoked" in revoke(desk, first).content.decode()


def test_staff_who_may_only_look_cannot_revoke(alice):
    viewer = make_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_apikey"))
    browser = Client()
    browser.force_login(viewer)
    api_key, key = api_keys.create(owner=alice, name="laptop")
    assert browser.get("/admin/accounts/apikey/").status_code == 200
    revoke(browser, api_key)
    assert api_keys.authenticate(key) == api_key


@pytest.mark.parametrize("state", ["usable", "expired", "revoked"])
def test_it_filters_keys_by_state(desk, alice, bob, state):
    bob.is_active = False
    bob.save()
    api_keys.create(owner=alice, name="usable")
    api_keys.create(owner=bob, name="owner-off")
    expired, _ = api_keys.create(owner=alice, name="expired")
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(days=1))
    revoked, _ = api_keys.create(owner=alice, name="revoked")
    api_keys.revoke(api_key=revoked)
    text = desk.get(f"/admin/accounts/apikey/?state={state}").content.decode()
    assert re.findall(r"field-name[^>]*>([^<]+)<", text) == [state]


def test_the_summary_says_who_used_what(desk, alice):
    key, _ = api_keys.create(owner=alice, name="ci-key")
    UsageRecord.objects.create(
        request_id="1" * 32, user=alice, api_key=key, source="api", chat_model="parrot",
        prompt_tokens=4000, completion_tokens=711, outcome="stop",
    )  # fmt: skip

    text = desk.get("/admin/accounts/usagerecord/summary/?days=7").content.decode()

    for word in ("alice", "ci-key", "parrot", "4711", 'class="plot"'):
        assert word in text


def test_the_summary_is_for_those_who_may_see_usage(client, alice):
    alice.is_staff = True
    alice.save()
    client.force_login(alice)

    assert client.get("/admin/accounts/usagerecord/summary/").status_code == 403
