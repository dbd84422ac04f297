from django.urls import path

from chatsite.accounts.views import login, passwords, settings

app_name = "accounts"
urlpatterns = [
    path("login/", login.LoginView.as_view(), name="login"),
    path("logout/", login.LogoutView.as_view(), name="logout"),
    path("signup/", login.SignUpView.as_view(), name="signup"),
    path("settings/", settings.ProfileView.as_view(), name="settings"),
    path("settings/password/", passwords.PasswordChangeView.as_view(), name="password_change"),
    path("settings/keys/", settings.ApiKeysView.as_view(), name="api_keys"),
    path("settings/keys/<int:pk>/", settings.ApiKeyView.as_view(), name="api_key"),
    path("settings/keys/<int:pk>/revoke/", settings.api_key_revoke, name="api_key_revoke"),
    path("settings/usage/", settings.usage, name="usage"),
    path("password-reset/", passwords.PasswordResetView.as_view(), name="password_reset"),
    path("password-reset/done/", passwords.PasswordResetDoneView.as_view(), name="password_reset_done"),
    path(
        "password-reset/<uidb64>/<token>/",
        passwords.PasswordResetConfirmView.as_view(),
        name="password_reset_confirm",
    ),
    path(
        "password-reset/complete/",
        passwords.PasswordResetCompleteView.as_view(),
        name="password_reset_complete",
    ),
]
