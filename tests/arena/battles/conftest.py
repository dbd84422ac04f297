"""Two chat models that are alive, and a person who has accepted the terms."""

import pytest

from arena.services import terms
from chatsite.accounts.models import User
from tests.factories import make_chat_model
from tests.fakes import InProcessClient
from workers.models import ChatModel

LEFT_HANDED = "zanzibar-7b"
RIGHT_HANDED = "quokka-13b"
NAMES = (LEFT_HANDED, RIGHT_HANDED)


@pytest.fixture
def pair(db, workers_client: InProcessClient) -> list[ChatModel]:
    """Both answer with the same words, so that only what the site says could tell them apart."""
    workers_client.unhost("parrot")
    for name in NAMES:
        workers_client.host_script(name, "reply=One two three.")
    return [make_chat_model(name) for name in NAMES]


@pytest.fixture
def player(alice: User) -> User:
    terms.accept(user=alice)
    return alice
