"""What happens to files. Somebody else's does not exist."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from chatsite.accounts.models import User
from workers.api import errors
from workers.api.files import protocol
from workers.api.files.uploads import Upload
from workers.api.pages import as_id
from workers.models import ApiFile
from workers.services import files, jsonl

PIECE: Final = 256 * 1024  # bytes


def find(owner: User, public_id: str, param: str | None = None) -> ApiFile:
    """Raises `NotFound`; `param` names the parameter that held the id."""
    file = ApiFile.objects.filter(owner=owner, public_id=as_id(public_id)).first()
    if file is None:
        raise errors.NotFound(f"There is no file '{public_id[:60]}'.", param=param, code="file_not_found")
    return file


def upload(owner: User, received: Upload) -> ApiFile:
    try:
        purpose = protocol.read_purpose(received.fields)
        return files.take_in(
            owner=owner,
            source=received.path,
            filename=received.filename,
            purpose=purpose,
            expires_at=protocol.read_expiry(received.fields),
        )
    except jsonl.InvalidLine as error:
        raise errors.InvalidRequest(
            f"The file cannot be used for '{purpose}'. {error}", param="file", code="invalid_jsonl"
        ) from None
    except files.NoRoom as error:
        raise errors.TooLarge(
            f"Your files would take more than {error.limit // 1024 // 1024} MiB together. Delete some first.",
            code="storage_limit_exceeded",
        ) from None
    finally:
        received.discard()


def delete(file: ApiFile) -> None:
    try:
        files.remove(file=file)
    except files.InUse:
        raise errors.InvalidRequest(
            "The file is needed by something that is not finished. Wait for it, or cancel it first.",
            code="file_in_use",
        ) from None


def content(file: ApiFile) -> HttpResponseBase:
    if not file.path.is_file():
        raise errors.NotFound("The content of this file is gone.", code="file_content_gone")
    return StreamingHttpResponse(
        _pieces(file.path),
        content_type="application/octet-stream",
        headers={
            "content-length": str(file.path.stat().st_size),
            # Never shown in the site's own origin, whatever it holds.
            "content-disposition": "attachment",
            "content-security-policy": "sandbox",
        },
    )


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece
    finally:
        file.close()
