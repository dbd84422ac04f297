"""Websocket routes."""

from django.urls import path

from arena.battle_consumer import BattleConsumer
from arena.consumers import ChatConsumer
from arena.leaderboard_news import LeaderboardConsumer

websocket_urlpatterns = [
    path("ws/chat/", ChatConsumer.as_asgi()),
    path("ws/leaderboard/", LeaderboardConsumer.as_asgi()),
    path("ws/arena/", BattleConsumer.as_asgi()),
]
