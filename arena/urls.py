from django.urls import path

from arena.views import battles, chat, leaderboard, sharing

app_name = "arena"
urlpatterns = [
    path("", chat.home, name="home"),
    path("arena/", battles.anonymous, name="anonymous"),
    path("arena/side-by-side/", battles.side_by_side, name="side_by_side"),
    path("arena/battles/", battles.history, name="battles"),
    path("arena/terms/", battles.accept_terms, name="accept_terms"),
    path("arena/shared/<str:share_key>/", battles.shared, name="shared"),
    path("arena/<uuid:battle_id>/", battles.battle, name="battle"),
    path("arena/<uuid:battle_id>/state/", battles.state, name="battle_state"),
    path("arena/<uuid:battle_id>/vote/", battles.cast_vote, name="cast_vote"),
    path("arena/<uuid:battle_id>/flag/", battles.flag, name="flag"),
    path("arena/<uuid:battle_id>/share/", battles.share, name="share_battle"),
    path("chat/", chat.chat, name="chat"),
    path("chat/list/", chat.sidebar, name="sidebar"),
    path("chat/<uuid:conversation_id>/", chat.conversation, name="conversation"),
    path("chat/<uuid:conversation_id>/turns/", chat.turns, name="turns"),
    path("chat/links/", sharing.links, name="links"),
    path("chat/shared/<str:key>/", sharing.shared, name="shared_conversation"),
    path("chat/shared/<str:key>/copy/", sharing.copy, name="copy_shared"),
    path("chat/<uuid:conversation_id>/share/", sharing.manage, name="manage_share"),
    path("chat/<uuid:conversation_id>/share/link/", sharing.share, name="share_conversation"),
    path("chat/<uuid:conversation_id>/share/revoke/", sharing.revoke, name="revoke_share"),
    path("chat/<uuid:conversation_id>/export/<str:kind>/", sharing.export, name="export"),
    path("chat/messages/<int:message_id>/show/", chat.show_version, name="show_version"),
    path("chat/<uuid:conversation_id>/rename/", chat.rename, name="rename"),
    path("chat/<uuid:conversation_id>/pin/", chat.pin, name="pin"),
    path("chat/<uuid:conversation_id>/delete/", chat.delete, name="delete"),
    path("leaderboard/", leaderboard.board, name="leaderboard"),
    path("leaderboard/board.csv", leaderboard.board_csv, name="leaderboard_csv"),
    path("leaderboard/pairs.csv", leaderboard.pairs_csv, name="leaderboard_pairs"),
    path("leaderboard/over-time/", leaderboard.over_time, name="leaderboard_over_time"),
    path("leaderboard/log/", leaderboard.log, name="leaderboard_log"),
    path("leaderboard/published/<int:snapshot_id>/", leaderboard.snapshot, name="leaderboard_snapshot"),
]
