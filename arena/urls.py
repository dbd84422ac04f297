from django.urls import path

from arena import views

app_name = "arena"
urlpatterns = [
    path("", views.home, name="home"),
    path("chat/", views.chat, name="chat"),
    path("chat/list/", views.sidebar, name="sidebar"),
    path("chat/<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("chat/<uuid:conversation_id>/rename/", views.rename, name="rename"),
    path("chat/<uuid:conversation_id>/delete/", views.delete, name="delete"),
]
