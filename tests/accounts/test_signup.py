"""Sign-up: the page and the service."""

from unittest import mock

import pytest
from django.contrib.auth import SESSION_KEY
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.test import Client

from chatsite.accounts.models import AuditEvent, User
from chatsite.accounts.services import limits, people

pytestmark = pytest.mark.django_db

DORA = {"username": "dora", "email": "dora@example.org", "password": "three quiet owls"}


def sign_up(client, **changes):
    return client.post("/signup/", DORA | changes)


def errors_of(response) -> dict[str, list[str]]:
    assert response.status_code == 200
    assert not User.objects.filter(email=DORA["email"]).exists()
    return dict(response.context["form"].errors)


def test_it_makes_the_account_and_logs_in(client):
    response = sign_up(client)
    assert response.url == "/chat/"
    dora = User.objects.get(username="dora")
    assert client.session[SESSION_KEY] == str(dora.pk)
    assert dora.check_password(DORA["password"])
    assert (dora.is_staff, dora.is_superuser, dora.is_active) == (False, False, True)


def test_it_lets_the_new_person_log_in_again(client):
    sign_up(client)
    client.post("/logout/")
    assert (
        client.post("/login/", {"username": DORA["email"], "password": DORA["password"]}).status_code == 302
    )


def test_it_cannot_be_talked_into_rights(client):
    sign_up(client, is_staff="on", is_superuser="on", id="1", groups="1")
    dora = User.objects.get(username="dora")
    assert not dora.is_staff
    assert not dora.is_superuser


def test_it_goes_on_to_where_one_wanted_to_go(client):
    assert sign_up(client, next="/settings/keys/").url == "/settings/keys/"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "/signup/"]
)
def test_it_never_leaves_the_site(client, target):
    assert sign_up(client, next=target).url == "/chat/"


def test_it_keeps_the_way_to_go_on_between_the_two_pages(client):
    assert (
        "/signup/?next=%2Fsettings%2Fkeys%2F" in client.get("/login/?next=/settings/keys/").content.decode()
    )
    assert (
        "/login/?next=%2Fsettings%2Fkeys%2F" in client.get("/signup/?next=/settings/keys/").content.decode()
    )


def test_it_sends_a_person_who_is_logged_in_on(alice, client):
    client.force_login(alice)
    assert client.get("/signup/").url == "/chat/"
    assert sign_up(client).url == "/chat/"
    assert not User.objects.filter(username="dora").exists()


def test_it_refuses_everybody_while_sign_up_is_closed(client, settings):
    settings.SIGNUP_OPEN = False
    for response in (client.get("/signup/"), sign_up(client)):
        assert response.status_code == 403
        assert "Ask the operator of this site for an account" in response.content.decode()
    with pytest.raises(people.SignUpClosed):
        people.sign_up(**DORA)
    assert not User.objects.exists()


def test_it_asks_for_a_csrf_token():
    assert sign_up(Client(enforce_csrf_checks=True)).status_code == 403


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"username": ""}, "username"),
        ({"username": "with space"}, "username"),
        ({"username": "dora@home"}, "username"),
        ({"username": "<script>"}, "username"),
        ({"username": "d" * 151}, "username"),
        ({"username": "do\x00ra"}, "username"),
        ({"username": "admin"}, "username"),
        ({"username": "Administrator"}, "username"),
        ({"username": "ａdmin"}, "username"),
        ({"email": ""}, "email"),
        ({"email": "no address"}, "email"),
        ({"email": "d" * 250 + "@example.org"}, "email"),
        ({"email": "dora@example.org\nBcc: all@example.org"}, "email"),
        ({"password": ""}, "password"),
        ({"password": "short"}, "password"),
        ({"password": "1234567890123"}, "password"),
        ({"password": "qwertyuiop"}, "password"),
        ({"password": "dora@example.org"}, "password"),
        ({"password": "x" * 1001}, "password"),
    ],
)
def test_it_names_the_field_that_it_refuses(client, changes, field):
    assert list(errors_of(sign_up(client, **changes))) == [field]


def test_it_names_all_fields_at_once(client):
    response = client.post("/signup/", {})
    assert set(errors_of(response)) == {"username", "email", "password"}


@pytest.mark.parametrize("username", ["alice", "ALICE", " alice", "ａｌｉｃｅ"])
def test_it_refuses_a_username_that_is_taken_in_any_spelling(alice, client, username):
    errors = errors_of(sign_up(client, username=username))
    assert errors == {"username": ["Another account has this username. Choose a different one."]}


@pytest.mark.parametrize("email", ["alice@example.org", "Alice@EXAMPLE.org"])
def test_it_refuses_an_address_that_is_taken_in_any_case(alice, client, email):
    errors = errors_of(sign_up(client, email=email))
    assert errors == {"email": ["Another account has this e-mail address. Log in to it, or use another."]}


def test_it_lets_two_people_without_an_address_exist():
    User.objects.create_user("one")
    User.objects.create_user("two")


@pytest.mark.parametrize(
    ("username", "email"), [("Dora", "other@example.org"), ("other", "DORA@example.org")]
)
def test_the_database_refuses_a_twin(username, email):
    people.sign_up(**DORA)
    with pytest.raises(IntegrityError):
        User.objects.create_user(username, email)


@pytest.mark.parametrize(("field", "value"), [("username", "dora"), ("email", "dora@example.org")])
def test_it_names_the_field_when_somebody_was_faster_by_a_moment(field, value):
    """The check finds nothing, then the row is there: what two visitors at once come to."""
    check = people._refuse_taken
    people.sign_up(**DORA)
    with mock.patch.object(people, "_refuse_taken", side_effect=[None, mock.DEFAULT]) as fake:
        fake.side_effect = lambda user: None if fake.call_count == 1 else check(user)
        with pytest.raises(ValidationError) as refusal:
            people.sign_up(
                **(
                    {
                        "username": "other",
                        "email": "other@example.org",
                        field: value,
                        "password": DORA["password"],
                    }
                )
            )
    assert list(refusal.value.message_dict) == [field]
    assert User.objects.count() == 1
    assert AuditEvent.objects.filter(kind=AuditEvent.Kind.SIGNED_UP).count() == 1


def test_it_does_not_put_the_password_back_into_the_page(client):
    response = sign_up(client, username="")
    assert DORA["password"] not in response.content.decode()
    assert DORA["email"] in response.content.decode()


def test_it_shows_what_was_typed_as_text_and_not_as_markup(client):
    page = sign_up(client, username='"><script>alert(1)</script>').content.decode()
    assert "<script>alert" not in page


def test_it_stops_one_address_that_makes_account_after_account(client):
    for number in range(limits.SIGN_UP_ADDRESS.attempts):
        Client().post("/signup/", DORA | {"username": f"dora{number}", "email": f"dora{number}@example.org"})
    response = sign_up(client)
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    assert not User.objects.filter(username="dora").exists()


def test_it_writes_down_the_sign_up(client):
    client.post("/signup/", DORA, REMOTE_ADDR="198.51.100.7")
    event = AuditEvent.objects.get()
    assert (event.kind, str(event.user), event.address) == ("signed_up", "dora", "198.51.100.7")
