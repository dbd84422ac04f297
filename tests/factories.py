"""Rows for tests, with just what a test does not care about filled in."""

from itertools import count

from chatsite.accounts.models import User
from workers.models import ChatModel

PASSWORD = "correct horse battery"

_numbers = count(1)


def make_user(username: str = "", **values) -> User:
    username = username or f"person{next(_numbers)}"
    return User.objects.create_user(username, f"{username}@example.org", PASSWORD, **values)


def make_chat_model(name: str = "", **values) -> ChatModel:
    values = {"engine": "scripted", "slots": 8, "temperature": 0.5, "top_p": 0.9, **values}
    return ChatModel.objects.create(name=name or f"model-{next(_numbers)}", **values)
