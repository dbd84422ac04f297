from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "chatsite.accounts"
    label = "accounts"
    verbose_name = _("People and keys")

    def ready(self) -> None:
        from chatsite.accounts import checks, model_names  # noqa: F401 - registers the system checks

        model_names.translate()
