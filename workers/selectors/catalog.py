"""Reading the catalog."""

from workers.models import ChatModel


def find(*, name: str) -> ChatModel | None:
    return ChatModel.objects.filter(name=name).first()


def published() -> list[ChatModel]:
    return list(ChatModel.objects.published())


def hosted_here() -> list[ChatModel]:
    return list(ChatModel.objects.filter(hosted_here=True))
