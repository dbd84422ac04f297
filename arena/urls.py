from django.urls import path

from arena.views import chat

app_name = "arena"
urlpatterns = [
    path("", chat.home, name="home"),
    path("chat/", chat.chat, name="chat"),
    path("chat/list/", chat.sidebar, name="sidebar"),
    path("chat/<uuid:conversation_id>/", chat.conversation, name="conversation"),
    path("chat/<uuid:conversation_id>/rename/", chat.rename, name="rename"),
    path("chat/<uuid:conversation_id>/delete/", chat.delete, name="delete"),
]
