import pytest
from django.core.cache import cache

from chatsite.accounts.models import User

PASSWORD = "correct horse battery"


@pytest.fixture
def alice(db):
    return User.objects.create_user("alice", "alice@example.org", PASSWORD)


@pytest.fixture
def bob(db):
    return User.objects.create_user("bob", "bob@example.org", PASSWORD)


@pytest.fixture
def charlie(db):
    return User.objects.create_user("charlie", "charlie@example.org", PASSWORD)


@pytest.fixture(autouse=True)
def no_attempts_counted():
    """The local-memory cache outlives a test; the attempts counted in it must not."""
    cache.clear()
