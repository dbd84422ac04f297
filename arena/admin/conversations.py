"""Conversations for the operator: to read, not to edit, since nobody changes what was said."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from arena.models import Conversation, Reply
from arena.selectors import conversations as selectors
from arena.services import conversations
from chatsite.admin_bases import ReadOnlyAdmin, RicherPageAdmin


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin, RicherPageAdmin):
    list_display = ("__str__", "owner", "chat_model", "message_count", "created_at", "updated_at")
    list_filter = ("chat_model", "updated_at")
    list_select_related = ("owner", "chat_model")
    search_fields = ("title", "owner__username", "owner__email")
    search_help_text = "The owner's name or e-mail, or words of the title"
    date_hierarchy = "created_at"
    list_per_page = 50
    fieldsets = (
        (None, {"fields": ("title", "owner", "chat_model", "created_at", "updated_at")}),
        (
            "Settings for the next message",
            {"fields": ("system_prompt", "temperature", "top_p", "max_tokens")},
        ),
    )

    class Media:
        css = {"all": ("arena/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        queryset: QuerySet[Conversation] = super().get_queryset(request)
        return queryset.annotate(_messages=Count("messages"))

    @admin.display(description="Messages", ordering="_messages")
    def message_count(self, conversation: Any) -> int:
        return int(conversation._messages)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """A conversation goes with its replies, though a reply cannot be deleted by itself."""
        to_delete, model_count, _, protected = super().get_deleted_objects(objs, request)
        return to_delete, model_count, set(), protected

    def delete_model(self, request: HttpRequest, obj: Conversation) -> None:
        conversations.erase(conversation=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        for conversation in queryset:
            conversations.erase(conversation=conversation)

    def page_context(self, request: HttpRequest, obj: Conversation) -> dict[str, Any]:
        return {"turns": selectors.turns(obj)}


@admin.register(Reply)
class ReplyAdmin(ReadOnlyAdmin):
    """What the chat models answered, for finding failures and slow answers across conversations."""

    list_display = (
        "created_at",
        "owner",
        "chat_model_name",
        "status",
        "outcome",
        "tokens",
        "seconds",
    )
    ordering = ("-created_at",)
    list_filter = ("status", "outcome", "chat_model_name", "created_at")
    list_select_related = ("message__conversation__owner",)
    search_fields = ("message__conversation__owner__username", "message__conversation__owner__email")
    search_help_text = "The owner's name or e-mail"
    list_per_page = 50
    fields = (
        "conversation",
        "chat_model_name",
        "status",
        "outcome",
        "error_message",
        "text",
        "system_prompt",
        "sampling",
        "prompt_tokens",
        "completion_tokens",
        "first_token_seconds",
        "total_seconds",
        "created_at",
        "finished_at",
    )
    readonly_fields = ("conversation",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reply]:
        return super().get_queryset(request).select_related("message__conversation__owner")

    @admin.display(description="Owner", ordering="message__conversation__owner__username")
    def owner(self, reply: Reply) -> str:
        return reply.message.conversation.owner.get_username()

    @admin.display(description="Tokens in + out", ordering="completion_tokens")
    def tokens(self, reply: Reply) -> str:
        return "" if reply.completion_tokens is None else f"{reply.prompt_tokens} + {reply.completion_tokens}"

    @admin.display(description="First token, total (s)", ordering="total_seconds")
    def seconds(self, reply: Reply) -> str:
        if reply.total_seconds is None:
            return ""
        first = "–" if reply.first_token_seconds is None else f"{reply.first_token_seconds:.2f}"
        return f"{first}, {reply.total_seconds:.2f}"

    @admin.display(description="Conversation")
    def conversation(self, reply: Reply) -> str:
        url = reverse("admin:arena_conversation_change", args=[reply.message.conversation_id])
        return format_html('<a href="{}">{}</a>', url, reply.message.conversation)
