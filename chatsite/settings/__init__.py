"""The settings a plain `manage.py` uses. Tests use `chatsite.settings.test`."""

from chatsite.settings.base import *  # noqa: F403
