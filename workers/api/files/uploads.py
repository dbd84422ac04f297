"""Receives a multipart upload straight onto the disk where it stays, and stops at the limit."""

from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http.multipartparser import MultiPartParserError
from rest_framework.request import Request

from workers.api.errors import ApiError, InvalidParameter, InvalidRequest, TooLarge, UnsupportedMediaType
from workers.services import files

# What stands around the file in the body: borders, headers, the other fields.
WRAPPING = 64 * 1024  # bytes


class Upload:
    """The file and the fields of a request. Whoever does not take the file in calls `discard`."""

    def __init__(self, path: Path, filename: str, fields: dict[str, str]) -> None:
        self.path = path
        self.filename = filename
        self.fields = fields

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)


def receive(request: Request) -> Upload:
    """Raises `ApiError`, with nothing left on the disk."""
    raw = request._request
    if not request.META.get("CONTENT_TYPE", "").lower().startswith("multipart/form-data"):
        raise UnsupportedMediaType(
            "Send the file as 'multipart/form-data', with the fields 'file' and 'purpose'."
        )
    if int(request.META.get("CONTENT_LENGTH") or 0) > settings.API_FILE_LIMIT + WRAPPING:
        raise too_large()
    handler = _Handler(raw)
    raw.upload_handlers = [handler]
    try:
        fields = {name: str(value) for name, value in raw.POST.items()}
        if handler.path is None or "file" not in raw.FILES:
            raise InvalidParameter("file", "is required.", code="missing_required_parameter")
    except MultiPartParserError:
        handler.discard()
        raise InvalidRequest("The body is not valid multipart/form-data.", code="invalid_multipart") from None
    except ApiError:
        handler.discard()
        raise
    return Upload(handler.path, handler.filename, fields)


def too_large() -> TooLarge:
    return TooLarge(f"The file is larger than {settings.API_FILE_LIMIT // 1024 // 1024} MiB. Split it.")


class _Handler(FileUploadHandler):
    path: Path | None = None
    filename = ""
    _file: IO[bytes] | None = None
    _size = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if self.path is not None or self.field_name != "file":
            raise InvalidRequest("Send one file, in the field 'file'.", code="invalid_multipart")
        self.path = files.new_incoming()
        self.filename = self.file_name or "file"
        self._file = self.path.open("xb")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._size += len(raw_data)
        if self._size > settings.API_FILE_LIMIT:
            raise too_large()
        assert self._file is not None  # Django calls new_file first
        self._file.write(raw_data)

    def file_complete(self, file_size: int) -> "UploadedFile[bytes]":
        assert self._file is not None
        self._file.close()
        return UploadedFile(name=self.filename, size=file_size)

    def upload_interrupted(self) -> None:
        self.discard()

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)
