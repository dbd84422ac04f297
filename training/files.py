"""Files of rows: JSON arrays, JSON lines (each also as .gz) and Parquet, read and written row by row.

A mistake in one row is that row's; a mistake in the file (no such file, no JSON at all) is a `FileProblem` with a
remedy.
"""

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

CHUNK = 1 << 20
"""Characters of a JSON array that are read at once."""
KINDS = (".json", ".jsonl", ".ndjson", ".parquet", ".json.gz", ".jsonl.gz")


class FileProblem(Exception):  # noqa: N818 - reads as what happened
    """A file that cannot be used; the text names it and says what helps."""


class Line(NamedTuple):
    """One row as the file has it; `problem` says why it is none."""

    number: int
    """From 1."""
    row: Any
    problem: str = ""


class Writer(Protocol):
    def write(self, row: Mapping[str, Any]) -> None: ...


def read(path: Path) -> Iterator[Line]:
    """Every row with its number. Raises `FileProblem`."""
    if not path.is_file():
        raise FileProblem(f"There is no file {path}.")
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    try:
        with _opened(path) as file:
            yield from (_array_rows(file, path) if _begins_array(file) else _line_rows(file))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise FileProblem(f"{path} cannot be read: {error}. Text files must be UTF-8.") from None


def read_all(paths: Iterable[Path]) -> Iterator[Line]:
    """The rows of several files, one after the other, numbered through."""
    number = 0
    for path in paths:
        for line in read(path):
            number += 1
            yield line._replace(number=number)


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A writer of rows, by the file's ending. The file appears when it is whole: until then it has `.part` behind."""
    kind = next((kind for kind in sorted(KINDS, key=len, reverse=True) if path.name.endswith(kind)), "")
    if not kind:
        raise FileProblem(f"{path}: the ending must be one of {', '.join(KINDS)}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        with _writer(part, kind) as writer:
            yield writer
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


@contextmanager
def _opened(path: Path) -> Iterator[io.TextIOWrapper]:
    binary = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115
    with io.TextIOWrapper(cast("Any", binary), encoding="utf-8-sig") as text:
        yield text


def _begins_array(file: io.TextIOWrapper) -> bool:
    """Whether the first sign that is not blank is a `[`; the file is at its start again afterwards."""
    first = ""
    while (sign := file.read(1)) and not first:
        first = sign.strip()
    file.seek(0)
    return first == "["


def _line_rows(file: io.TextIOWrapper) -> Iterator[Line]:
    number = 0
    for text in file:
        if not text.strip():
            continue
        number += 1
        try:
            yield Line(number, json.loads(text))
        except (ValueError, RecursionError) as error:
            yield Line(number, text[:2000].rstrip("\n"), f"This is not JSON ({error}).")


def _array_rows(file: io.TextIOWrapper, path: Path) -> Iterator[Line]:
    """The elements of one array, without ever holding it whole."""
    decoder = json.JSONDecoder()
    held = _Held(file)
    held.take("[")
    number = 0
    while not held.at("]"):
        if number:
            if not held.at(","):
                raise FileProblem(f"{path}: behind row {number} a comma or the end of the list is missing.")
            held.take(",")
        try:
            value = held.decode(decoder)
        except (ValueError, RecursionError) as error:
            raise FileProblem(f"{path}: row {number + 1} is not JSON ({error}).") from None
        number += 1
        yield Line(number, value)


class _Held:
    """The part of a JSON text that is in memory."""

    def __init__(self, file: io.TextIOWrapper):
        self._file, self._text, self._at, self._ended = file, "", 0, False

    def at(self, sign: str) -> bool:
        self._skip_blanks()
        return self._text.startswith(sign, self._at)

    def take(self, sign: str) -> None:
        self._skip_blanks()
        self._at += len(sign)

    def decode(self, decoder: json.JSONDecoder) -> Any:
        self._skip_blanks()
        more = CHUNK
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if self._ended:
                    raise
            else:
                # A number at the end of what is held may go on in what is not.
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._fill(more)
            more *= 2  # a long row is tried a few times, not at each megabyte

    def _skip_blanks(self) -> None:
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text) or self._ended:
                return
            self._fill(CHUNK)

    def _fill(self, amount: int) -> None:
        more = self._file.read(amount)
        self._ended = not more
        self._text, self._at = self._text[self._at :] + more, 0


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise FileProblem("Parquet files need pyarrow: bin/up --install-only --extra train.") from None
    return parquet


def _parquet_rows(path: Path) -> Iterator[Line]:
    parquet = _parquet()
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    number += 1
                    yield Line(number, row)
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error}.") from None
    except ValueError as error:  # pyarrow's own errors are ValueErrors
        raise FileProblem(f"{path} is not a Parquet file: {error}") from None


@contextmanager
def _writer(path: Path, kind: str) -> Iterator[Writer]:
    if kind == ".parquet":
        parquet_writer = _ParquetWriter(path)
        try:
            yield parquet_writer
        finally:
            parquet_writer.close()
        return
    binary = gzip.open(path, "wb") if kind.endswith(".gz") else path.open("wb")  # noqa: SIM115
    with io.TextIOWrapper(cast("Any", binary), encoding="utf-8", errors="surrogatepass") as text:
        if ".json" in kind and ".jsonl" not in kind:
            text.write("[")
            yield _ArrayWriter(text)
            text.write("\n]\n")
        else:
            yield _LineWriter(text)


class _LineWriter:
    def __init__(self, file: io.TextIOWrapper):
        self._file = file

    def write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False, separators=(", ", ": ")) + "\n")


class _ArrayWriter:
    def __init__(self, file: io.TextIOWrapper):
        self._file, self._first = file, True

    def write(self, row: Mapping[str, Any]) -> None:
        self._file.write("\n" if self._first else ",\n")
        self._file.write(json.dumps(row, ensure_ascii=False))
        self._first = False


class _ParquetWriter:
    """Row groups of a thousand. The first one's columns hold for the file: a later field without one is an error."""

    def __init__(self, path: Path):
        import pyarrow

        self._parquet, self._arrow = _parquet(), pyarrow
        self._path, self._rows = path, list[Mapping[str, Any]]()
        self._writer: Any = None

    def write(self, row: Mapping[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) >= 1000:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        if not self._rows and self._writer is not None:
            return
        schema = self._writer.schema if self._writer else None
        if schema is not None and (late := {key for row in self._rows for key in row} - set(schema.names)):
            raise FileProblem(
                f"Parquet's columns are those of the first 1000 rows; {', '.join(sorted(late))} came later. Use .jsonl."
            )
        try:
            table = self._arrow.Table.from_pylist([dict(row) for row in self._rows], schema=schema)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise FileProblem(f"These rows do not fit into Parquet's columns: {error}. Use .jsonl.") from None
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)
        self._rows = []
