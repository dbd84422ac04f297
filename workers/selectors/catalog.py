"""Reading the catalog."""

from workers.models import ChatModel
from workers.models.catalog import ChatModelQuerySet


def find(*, name: str) -> ChatModel | None:
    """The chat model called `name`, or the one that has it for an alias."""
    return _called(ChatModel.objects.all(), name)


def find_published(*, name: str) -> ChatModel | None:
    """As `find`, of those that are shown to people and to the API."""
    return _called(ChatModel.objects.published(), name)


def published() -> list[ChatModel]:
    return list(ChatModel.objects.published())


def hosted_here() -> list[ChatModel]:
    return list(ChatModel.objects.filter(hosted_here=True))


def _called(chat_models: ChatModelQuerySet, name: str) -> ChatModel | None:
    return chat_models.filter(name=name).first() or chat_models.filter(aliases__name=name).first()
