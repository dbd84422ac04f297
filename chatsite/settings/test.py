"""Settings of the test suite: nothing outside the temporary directory is read or written.

The environment of whoever runs the tests does not reach them. Unit tests need no broker: the cache, the
channel layer and the workers' client live in the process. Flow tests start real servers, which use the plain
settings.
"""

import atexit
import importlib
import os
import shutil
import tempfile

for name in [name for name in os.environ if name.startswith("CHATSITE_")] + ["DATABASE_URL", "REDIS_URL"]:
    os.environ.pop(name, None)
os.environ["CHATSITE_DATA"] = tempfile.mkdtemp(prefix="chatsite-tests-")
atexit.register(shutil.rmtree, os.environ["CHATSITE_DATA"], ignore_errors=True)

# The package has read the base already, with the environment as it was.
importlib.reload(importlib.import_module("chatsite.settings.base"))

from chatsite.settings.base import *  # noqa: E402, F403

SECRET_KEY = "only-for-tests-" + "0" * 40
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
# A file, since threads share an in-memory database through a cache whose locks nobody waits for.
DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / "test.sqlite3"}  # noqa: F405
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_ROOT.mkdir()  # noqa: F405 - the tests collect no files, and the web looks for the folder
WORKERS_CLIENT = "tests.fakes.InProcessClient"
