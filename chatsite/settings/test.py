"""Settings of the test suite: nothing outside the temporary directory is read or written.

`tests/conftest.py` gives CHATSITE_DATA before this module is imported. Unit tests need no broker: the cache, the
channel layer and the workers' client live in the process. Flow tests start real servers, which use the plain
settings.
"""

from chatsite.settings.base import *  # noqa: F403

SECRET_KEY = "only-for-tests-" + "0" * 40
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WORKERS_CLIENT = "tests.fakes.InProcessClient"
