"""The first administrator, and the commands that make one and make keys."""

import re
from datetime import timedelta
from io import StringIO
from unittest import mock

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.utils import timezone

from chatsite.accounts.models import ApiKey, AuditEvent, User
from chatsite.accounts.services import api_keys, people
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    """(standard output, standard error) of a command."""
    out, err = StringIO(), StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


# --- the first administrator -------------------------------------------------------------------------------


def test_it_makes_the_first_administrator_and_says_the_password_once():
    password = people.ensure_administrator()
    assert password is not None
    admin = User.objects.get()
    assert (admin.username, admin.is_superuser, admin.is_staff, admin.is_active) == (
        "admin",
        True,
        True,
        True,
    )
    assert admin.check_password(password)
    assert people.ensure_administrator() is None
    assert User.objects.count() == 1


def test_it_makes_none_when_one_of_another_name_exists():
    User.objects.create_superuser("root")
    assert people.ensure_administrator() is None
    assert User.objects.count() == 1


def test_it_makes_passwords_that_are_long_readable_and_never_the_same():
    made = {people.readable_password() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        assert re.fullmatch(r"[a-km-np-z2-9]{5}(-[a-km-np-z2-9]{5}){3}", password)


def test_the_process_that_comes_second_by_a_moment_makes_none():
    """Both saw no administrator; the other one's row is there when this one writes."""
    User.objects.create_superuser("admin", password="of the first")
    nobody_yet = mock.Mock(exists=mock.Mock(side_effect=[False, True]))
    with mock.patch.object(User.objects.__class__, "filter", return_value=nobody_yet):
        assert people.ensure_administrator() is None
    assert User.objects.get().check_password("of the first")


@pytest.mark.parametrize("name", ["admin", "Admin"])
def test_it_promotes_nobody_who_happens_to_have_the_name(name):
    make_user(name)
    with pytest.raises(people.UsernameTaken):
        people.ensure_administrator()
    assert not User.objects.filter(is_superuser=True).exists()


@pytest.mark.parametrize("name", ["", "with space", "n" * 151, "<b>"])
def test_it_makes_no_administrator_whose_name_cannot_be_typed_in_a_form(name):
    with pytest.raises(ValidationError):
        people.ensure_administrator(username=name)
    assert not User.objects.exists()


# --- manage.py create_admin --------------------------------------------------------------------------------


def test_create_admin_prints_the_name_and_the_password():
    out, _ = run("create_admin", "--username", "root")
    found = re.fullmatch(r"Username: root\nPassword: (\S+)\n", out)
    assert found is not None
    assert User.objects.get(username="root").check_password(found[1])


def test_create_admin_makes_one_only():
    run("create_admin")
    with pytest.raises(CommandError, match="With --reset"):
        run("create_admin", "--username", "second")
    assert User.objects.count() == 1


def test_create_admin_refuses_the_name_of_somebody_else(alice):
    with pytest.raises(CommandError, match="'alice' is not an administrator"):
        run("create_admin", "--username", "alice")


def test_create_admin_refuses_a_name_that_cannot_be_one():
    with pytest.raises(CommandError, match="--username"):
        run("create_admin", "--username", "with space")


def test_create_admin_lets_one_back_in():
    User.objects.create_superuser("root", password="forgotten", is_active=False)
    out, _ = run("create_admin", "--username", "ROOT", "--reset")
    root = User.objects.get()
    assert root.check_password(out.split()[-1])
    assert root.is_active
    assert AuditEvent.objects.get().kind == "password_changed"


def test_create_admin_resets_nobody_but_an_administrator(alice):
    User.objects.create_superuser("root")
    with pytest.raises(CommandError, match="There is: root"):
        run("create_admin", "--username", "alice", "--reset")
    with pytest.raises(CommandError, match="There is: root"):
        run("create_admin", "--username", "nobody", "--reset")


# --- manage.py create_api_key ------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["alice", "Alice", "alice@example.org"])
def test_create_api_key_prints_the_key_and_nothing_else(alice, login):
    out, _ = run("create_api_key", login)
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{43}\n", out)
    api_key = api_keys.authenticate(out.strip())
    assert api_key is not None
    assert api_key.owner == alice


def test_create_api_key_sets_the_name_and_the_expiry(alice):
    run("create_api_key", "alice", "--name", "ci", "--expires", "90")
    api_key = ApiKey.objects.get()
    assert api_key.name == "ci"
    assert api_key.expires_at is not None
    assert abs(api_key.expires_at - timezone.now() - timedelta(days=90)) < timedelta(minutes=1)


def test_create_api_key_makes_one_without_end_by_itself(alice):
    run("create_api_key", "alice")
    assert ApiKey.objects.get().expires_at is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody"], "There is nobody named 'nobody'"),
        (["gone"], "is switched off"),
        (["alice", "--expires", "0"], "--expires"),
        (["alice", "--expires", "-3"], "--expires"),
        (["alice", "--expires", "999999999999"], "--expires"),
        (["alice", "--expires", "soon"], "--expires"),
        (["alice", "--name", ""], "--name"),
        (["alice", "--name", "n" * 101], "--name"),
    ],
)
def test_create_api_key_says_what_is_wrong_and_makes_none(alice, arguments, message):
    make_user("gone", is_active=False)
    with pytest.raises(CommandError, match=message):
        run("create_api_key", *arguments)
    assert not ApiKey.objects.exists()
