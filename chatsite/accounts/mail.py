"""Where mail goes when no mail server is set: into files that only the operator can read."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail.backends.filebased import EmailBackend


class PrivateFileBackend(EmailBackend):
    """Django's own, in a folder with mode 0700: whoever reads a mail with a link can take the account."""

    def __init__(self, *args: Any, file_path: str | None = None, **kwargs: Any) -> None:
        folder = Path(file_path or settings.EMAIL_FILE_PATH)
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        kwargs["file_path"] = str(folder)
        super().__init__(*args, **kwargs)
