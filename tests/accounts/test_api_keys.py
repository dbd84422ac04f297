"""The service behind API keys."""

import hashlib
import logging
from datetime import timedelta
from unittest import mock

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from chatsite.accounts.models import ApiKey, AuditEvent
from chatsite.accounts.services import api_keys

pytestmark = pytest.mark.django_db


def test_it_makes_a_key_of_the_shape_that_openai_clients_know(alice):
    api_key, key = api_keys.create(owner=alice, name="laptop")
    assert key.startswith("sk-")
    assert len(key) == len("sk-") + 43
    assert api_key.prefix == key[:10]


def test_it_never_makes_the_same_key_twice(alice):
    assert len({api_keys.create(owner=alice, name="laptop")[1] for _ in range(20)}) == 20


def test_it_stores_the_digest_and_nothing_that_gives_the_key_away(alice):
    api_key, key = api_keys.create(owner=alice, name="laptop")
    stored = ApiKey.objects.filter(pk=api_key.pk).values().get()
    assert stored["digest"] == hashlib.sha256(key.encode()).hexdigest()
    assert not any(key in str(value) for value in stored.values())
    assert not any(key in event.detail for event in AuditEvent.objects.all())


def test_it_never_logs_the_key(alice, caplog):
    with caplog.at_level(logging.DEBUG):
        _, key = api_keys.create(owner=alice, name="laptop")
        api_keys.authenticate(key)
    assert key not in caplog.text


@pytest.mark.parametrize("name", ["", "   ", "n" * 101])
def test_it_refuses_a_name_that_is_empty_or_too_long(alice, name):
    with pytest.raises(ValidationError) as refusal:
        api_keys.create(owner=alice, name=name)
    assert list(refusal.value.message_dict) == ["name"]
    assert not ApiKey.objects.exists()


def test_it_refuses_an_expiry_that_has_passed(alice):
    with pytest.raises(ValidationError) as refusal:
        api_keys.create(owner=alice, name="laptop", expires_at=timezone.now())
    assert list(refusal.value.message_dict) == ["expires_at"]


def test_it_refuses_one_key_too_many_until_another_is_revoked(alice, bob):
    with mock.patch.object(api_keys, "KEYS_PER_PERSON", 2):
        first, _ = api_keys.create(owner=alice, name="one")
        api_keys.create(owner=alice, name="two")
        with pytest.raises(ValidationError, match="Revoke one first"):
            api_keys.create(owner=alice, name="three")
        api_keys.create(owner=bob, name="his own count")
        api_keys.revoke(api_key=first)
        api_keys.create(owner=alice, name="three")


def test_it_knows_the_owner_of_a_key_in_one_query(alice, django_assert_num_queries):
    api_key, key = api_keys.create(owner=alice, name="laptop")
    ApiKey.objects.update(last_used_at=timezone.now())
    with django_assert_num_queries(1):
        found = api_keys.authenticate(key)
        assert found is not None
        assert found.owner.username == "alice"
    assert found == api_key


def test_it_looks_a_key_up_by_the_index_on_its_digest(alice):
    digest = hashlib.sha256(b"").hexdigest()
    plan = ApiKey.objects.usable().select_related("owner").filter(digest=digest).explain()
    assert "digest=?" in plan.replace(" ", "").lower() or "index scan" in plan.lower()


def test_it_compares_the_digest_in_constant_time(alice):
    _, key = api_keys.create(owner=alice, name="laptop")
    with mock.patch.object(api_keys, "constant_time_compare", return_value=False) as compare:
        assert api_keys.authenticate(key) is None
    digest = hashlib.sha256(key.encode()).hexdigest()
    compare.assert_called_once_with(digest, digest)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "sk-",
        "sk-" + "a" * 42,
        "sk-" + "a" * 44,
        "sk-" + "a" * 43 + "\n",
        "sk-" + "é" * 43,
        "\udcff" * 46,
        "sk-" + "a" * 42 + "\x00",
        "x" * 1_000_000,
    ],
    ids=["empty", "bare", "short", "long", "newline", "not ascii", "surrogates", "nul", "huge"],
)
def test_it_refuses_what_cannot_be_a_key_without_asking_the_database(key, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert api_keys.authenticate(key) is None


def test_it_refuses_a_key_that_differs_in_case_only(alice):
    _, key = api_keys.create(owner=alice, name="laptop")
    assert api_keys.authenticate("sk-" + key[3:].swapcase()) is None


def test_it_refuses_the_digest_in_place_of_the_key(alice):
    api_key, _ = api_keys.create(owner=alice, name="laptop")
    assert api_keys.authenticate(api_key.digest) is None
    assert api_keys.authenticate("sk-" + api_key.digest[:43]) is None


def test_it_refuses_a_revoked_key(alice):
    api_key, key = api_keys.create(owner=alice, name="laptop")
    api_keys.revoke(api_key=api_key)
    assert api_keys.authenticate(key) is None


def test_it_refuses_a_key_from_the_moment_it_expires(alice):
    api_key, key = api_keys.create(owner=alice, name="laptop", expires_at=timezone.now() + timedelta(hours=1))
    assert api_keys.authenticate(key) == api_key
    with mock.patch.object(timezone, "now", return_value=api_key.expires_at):
        assert api_keys.authenticate(key) is None


def test_it_refuses_the_keys_of_an_inactive_owner(alice):
    _, key = api_keys.create(owner=alice, name="laptop")
    alice.is_active = False
    alice.save()
    assert api_keys.authenticate(key) is None


def test_it_notes_the_use_at_most_once_a_minute(alice, django_assert_num_queries):
    api_key, key = api_keys.create(owner=alice, name="laptop")
    api_keys.authenticate(key)
    api_key.refresh_from_db()
    first_use = api_key.last_used_at
    assert first_use is not None

    with django_assert_num_queries(1):
        api_keys.authenticate(key)
    with mock.patch.object(timezone, "now", return_value=first_use + timedelta(seconds=61)):
        api_keys.authenticate(key)
    api_key.refresh_from_db()
    assert api_key.last_used_at == first_use + timedelta(seconds=61)


def test_it_revokes_once_and_keeps_the_first_time(alice):
    api_key, _ = api_keys.create(owner=alice, name="laptop")
    api_keys.revoke(api_key=api_key)
    first = api_key.revoked_at
    assert first is not None
    api_keys.revoke(api_key=ApiKey.objects.get())
    assert ApiKey.objects.get().revoked_at == first
    assert AuditEvent.objects.filter(kind=AuditEvent.Kind.KEY_REVOKED).count() == 1


def test_it_leaves_a_trail_of_who_made_and_who_revoked_a_key(alice, bob):
    api_key, _ = api_keys.create(owner=alice, name="laptop", address="192.0.2.1")
    api_keys.revoke(api_key=api_key, by=bob, address="192.0.2.2")
    revoked, created = AuditEvent.objects.all()
    assert (created.kind, created.user, created.by, created.address) == (
        "key_created",
        alice,
        None,
        "192.0.2.1",
    )
    assert (revoked.kind, revoked.user, revoked.by, revoked.address) == (
        "key_revoked",
        alice,
        bob,
        "192.0.2.2",
    )
    assert "laptop" in created.detail
