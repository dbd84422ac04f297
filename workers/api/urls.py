"""Addresses under `/v1/`, as OpenAI has them: without a slash at the end. `middleware.api` answers every other one."""

from django.urls import path

from workers.api.batches.views import BatchCancelView, BatchListView, BatchView
from workers.api.chat.views import ChatCompletionsView
from workers.api.completions.views import CompletionsView
from workers.api.embeddings.views import EmbeddingsView
from workers.api.files.views import FileContentView, FileListView, FileView
from workers.api.messages.views import CountTokensView, MessagesView
from workers.api.models.views import ModelListView, ModelView
from workers.api.moderations.views import ModerationsView
from workers.api.reference.views import DocumentView
from workers.api.responses.views import (
    InputTokensView,
    ResponseCancelView,
    ResponseItemsView,
    ResponseListView,
    ResponseView,
)
from workers.api.stored.views import StoredMessagesView, StoredView
from workers.api.tokens.views import DetokenizeView, TokenizeView

app_name = "v1"
urlpatterns = [
    path("openapi.json", DocumentView.as_view(), name="openapi"),
    path("models", ModelListView.as_view(), name="models"),
    # Names contain slashes, which clients send as they are or as %2F.
    path("models/<path:name>", ModelView.as_view(), name="model"),
    path("files", FileListView.as_view(), name="files"),
    path("files/<str:public_id>", FileView.as_view(), name="file"),
    path("files/<str:public_id>/content", FileContentView.as_view(), name="file_content"),
    path("batches", BatchListView.as_view(), name="batches"),
    path("batches/<str:public_id>", BatchView.as_view(), name="batch"),
    path("batches/<str:public_id>/cancel", BatchCancelView.as_view(), name="batch_cancel"),
    path("chat/completions", ChatCompletionsView.as_view(), name="chat_completions"),
    path("completions", CompletionsView.as_view(), name="completions"),
    path("embeddings", EmbeddingsView.as_view(), name="embeddings"),
    path("messages", MessagesView.as_view(), name="messages"),
    path("messages/count_tokens", CountTokensView.as_view(), name="count_tokens"),
    path("tokenize", TokenizeView.as_view(), name="tokenize"),
    path("detokenize", DetokenizeView.as_view(), name="detokenize"),
    path("chat/completions/<str:public_id>", StoredView.as_view(), name="stored_completion"),
    path("chat/completions/<str:public_id>/messages", StoredMessagesView.as_view(), name="stored_messages"),
    path("moderations", ModerationsView.as_view(), name="moderations"),
    path("responses", ResponseListView.as_view(), name="responses"),
    path("responses/input_tokens", InputTokensView.as_view(), name="response_input_tokens"),
    path("responses/<str:public_id>", ResponseView.as_view(), name="response"),
    path("responses/<str:public_id>/cancel", ResponseCancelView.as_view(), name="response_cancel"),
    path("responses/<str:public_id>/input_items", ResponseItemsView.as_view(), name="response_items"),
]
