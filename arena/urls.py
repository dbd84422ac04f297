from django.urls import path

from arena.views import chat, leaderboard

app_name = "arena"
urlpatterns = [
    path("", chat.home, name="home"),
    path("chat/", chat.chat, name="chat"),
    path("chat/list/", chat.sidebar, name="sidebar"),
    path("chat/<uuid:conversation_id>/", chat.conversation, name="conversation"),
    path("chat/<uuid:conversation_id>/rename/", chat.rename, name="rename"),
    path("chat/<uuid:conversation_id>/delete/", chat.delete, name="delete"),
    path("leaderboard/", leaderboard.board, name="leaderboard"),
    path("leaderboard/board.csv", leaderboard.board_csv, name="leaderboard_csv"),
    path("leaderboard/pairs.csv", leaderboard.pairs_csv, name="leaderboard_pairs"),
    path("leaderboard/over-time/", leaderboard.over_time, name="leaderboard_over_time"),
    path("leaderboard/log/", leaderboard.log, name="leaderboard_log"),
    path("leaderboard/published/<int:snapshot_id>/", leaderboard.snapshot, name="leaderboard_snapshot"),
]
