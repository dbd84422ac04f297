import pytest
from django.test import Client

from chatsite.accounts.models import User
from tests.factories import make_user


@pytest.fixture
def operator(db) -> User:
    return make_user("operator", is_staff=True, is_superuser=True)


@pytest.fixture
def pages(client: Client, operator: User) -> Client:
    """The operator's browser."""
    client.force_login(operator)
    return client
