"""Files that people show to chat models: what kind a file is, and what can be read in it. Knows no database.

Nothing is believed that the browser says of a file: an image is known by its first bytes, a text by being one. PDF
files are read in a process of their own with limits, since a crafted one may keep a reader busy for hours.
"""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from django.utils.translation import gettext as _

from arena.errors import InvalidValue

LARGEST_FILE = 10 * 1024 * 1024  # bytes
LARGEST_IMAGE = 5 * 1024 * 1024
LONGEST_TEXT = 100_000  # characters
MOST_PAGES = 300
PDF_SECONDS = 30
MEGABYTE = 1024 * 1024

ROOT = Path(__file__).resolve().parent.parent


class FileContent(NamedTuple):
    kind: str
    """`text` or `image`."""
    content_type: str
    text: str
    """What a chat model reads; "" for an image."""


def read(name: str, content: bytes) -> FileContent:
    """Raises `InvalidValue` with a sentence for what cannot be used."""
    if not content:
        raise InvalidValue(_("“%(name)s” is empty.") % {"name": name}, field="file")
    if len(content) > LARGEST_FILE:
        raise too_large(name, len(content), LARGEST_FILE)
    if image_type := _image_type(content):
        if len(content) > LARGEST_IMAGE:
            raise too_large(name, len(content), LARGEST_IMAGE)
        return FileContent("image", image_type, "")
    if content[:1024].lstrip().startswith(b"%PDF-"):
        return FileContent("text", "application/pdf", _checked(name, _pdf_text(name, content)))
    return FileContent("text", "text/plain; charset=utf-8", _checked(name, _decoded(name, content)))


def _image_type(content: bytes) -> str:
    """By the first bytes, as each format's specification gives them; "" for what is no image that browsers show."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return ""


def _decoded(name: str, content: bytes) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = "\x00"
    if "\x00" in text:
        raise InvalidValue(
            _("“%(name)s” is neither text (UTF-8), nor a PDF file, nor an image (PNG, JPEG, GIF, WebP).")
            % {"name": name},
            field="file",
        )
    return text


def _pdf_text(name: str, content: bytes) -> str:
    command = [sys.executable, "-m", "arena.pdf_text", str(MOST_PAGES), str(LONGEST_TEXT + 1)]
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=PDF_SECONDS, cwd=ROOT, check=False
        )
    except subprocess.TimeoutExpired:
        raise InvalidValue(
            _("“%(name)s” takes too long to read. Save its text as a text file.") % {"name": name},
            field="file",
        ) from None
    if done.returncode == 2:
        raise InvalidValue(
            _("“%(name)s” has more than %(pages)d pages. Send a part of it.")
            % {"name": name, "pages": MOST_PAGES},
            field="file",
        )
    if done.returncode:
        raise InvalidValue(
            _("“%(name)s” cannot be read: it is damaged, or locked by a password.") % {"name": name},
            field="file",
        )
    return done.stdout.decode("utf-8", "replace").replace("\x00", "")


def _checked(name: str, text: str) -> str:
    if not text.strip():
        raise InvalidValue(
            _("There is no text in “%(name)s”. A scanned page must be sent as an image.") % {"name": name},
            field="file",
        )
    if len(text) > LONGEST_TEXT:
        raise InvalidValue(
            _("The text of “%(name)s” is longer than %(limit)d characters. Send a part of it.")
            % {"name": name, "limit": LONGEST_TEXT},
            field="file",
        )
    return text


def too_large(name: str, size: int, limit: int) -> InvalidValue:
    return InvalidValue(
        _("“%(name)s” has %(size).1f MB; at most %(limit)d MB are possible.")
        % {"name": name, "size": size / MEGABYTE, "limit": limit // MEGABYTE},
        field="file",
    )
