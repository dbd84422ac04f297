"""Shared by every test. The data directory is a temporary one, named before settings are read."""

import os
import tempfile

os.environ["CHATSITE_DATA"] = tempfile.mkdtemp(prefix="chatsite-tests-")
for name in ("DATABASE_URL", "REDIS_URL", "CHATSITE_SECRET_KEY", "CHATSITE_DEBUG"):
    os.environ.pop(name, None)
