"""What the administration calls the rows of the product's tables, in the reader's language.

Put onto the models here: names in `Meta` for this alone would be a migration of each app, with nothing to migrate.
"""

from django.apps import apps
from django.utils.translation import gettext_lazy, gettext_noop

APPS = ("accounts", "arena", "evaluation", "training", "workers")

NAMES = (
    gettext_noop("API file"), gettext_noop("API files"),
    gettext_noop("API key"), gettext_noop("API keys"),
    gettext_noop("answer"), gettext_noop("answers"),
    gettext_noop("audit event"), gettext_noop("audit events"),
    gettext_noop("batch"), gettext_noop("batches"),
    gettext_noop("battle"), gettext_noop("battles"),
    gettext_noop("blocked phrase"), gettext_noop("blocked phrases"),
    gettext_noop("cached judgment"), gettext_noop("cached judgments"),
    gettext_noop("category"), gettext_noop("categories"),
    gettext_noop("chat model"), gettext_noop("chat models"),
    gettext_noop("chat model weight"), gettext_noop("chat model weights"),
    gettext_noop("conversation"), gettext_noop("conversations"),
    gettext_noop("daily statistics"),
    gettext_noop("evaluation"), gettext_noop("evaluations"),
    gettext_noop("fine-tuning job"), gettext_noop("fine-tuning jobs"),
    gettext_noop("human verdict"), gettext_noop("human verdicts"),
    gettext_noop("judge"), gettext_noop("judges"),
    gettext_noop("leaderboard entry"), gettext_noop("leaderboard entries"),
    gettext_noop("listing change"), gettext_noop("listing changes"),
    gettext_noop("moderation case"), gettext_noop("moderation cases"),
    gettext_noop("pinned pair"), gettext_noop("pinned pairs"),
    gettext_noop("published board"), gettext_noop("published boards"),
    gettext_noop("reply"), gettext_noop("replies"),
    gettext_noop("task score"), gettext_noop("task scores"),
    gettext_noop("terms"),
    gettext_noop("topic"), gettext_noop("topics"),
    gettext_noop("usage record"), gettext_noop("usage records"),
    gettext_noop("verdict"), gettext_noop("verdicts"),
    gettext_noop("vote"), gettext_noop("votes"),
    gettext_noop("worker"), gettext_noop("workers"),
)  # fmt: skip
"""Those of the models that have pages of their own, for the collection of sentences."""


def translate() -> None:
    """After all models are loaded."""
    for app in APPS:
        for model in apps.get_app_config(app).get_models():
            names = model._meta
            if isinstance(names.verbose_name, str):  # not a translation already
                plural = str(names.verbose_name_plural)
                names.verbose_name = gettext_lazy(names.verbose_name)
                names.verbose_name_plural = gettext_lazy(plural)
