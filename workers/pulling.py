"""Fetches checkpoints from a hub into a folder: only files that load, each checked, and resumed where it broke off.

Knows HTTP and files, and no catalog. Sources: the Hub API (huggingface.co/docs/hub/api:
`GET /api/models/{repo}/revision/{revision}?blobs=true` and `GET /{repo}/resolve/{revision}/{path}`), which mirrors
speak too, and ModelScope's (`/api/v1/models/{repo}/repo/files` and `…/repo?FilePath=`).
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote

import httpx

REPO: Final = re.compile(r"[\w.-]+/[\w.-]+")
# What an engine reads beside the weights.
COMPANIONS: Final = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "LICENSE*", "README.md")
BLOCK: Final = 2**20
# A first answer may take long behind a busy mirror; a silent connection is given up.
TIMEOUT: Final = httpx.Timeout(60.0, connect=20.0)


class CannotPull(Exception):  # noqa: N818 - reads as what happened
    """One sentence with the cause and what helps. What was fetched so far is kept, and is not fetched again."""


class RemoteFile(NamedTuple):
    path: str
    size: int
    sha256: str
    """ "" when the server does not say."""


@dataclass(frozen=True)
class Listing:
    files: tuple[RemoteFile, ...]
    revision: str
    """The commit where the server says which, else what was asked for."""
    licence: str = ""


class Hub(Protocol):
    def listing(self, client: httpx.Client, repo: str, revision: str) -> Listing: ...

    def url(self, repo: str, revision: str, path: str) -> str: ...


@dataclass(frozen=True)
class HuggingFace:
    """huggingface.co, or a mirror of it."""

    endpoint: str = "https://huggingface.co"

    def listing(self, client: httpx.Client, repo: str, revision: str) -> Listing:
        answer = _json(
            client, f"{self.endpoint}/api/models/{repo}/revision/{quote(revision, safe='')}?blobs=true"
        )
        files = tuple(
            RemoteFile(
                one["rfilename"], int(one.get("size") or 0), str((one.get("lfs") or {}).get("sha256", ""))
            )
            for one in answer["siblings"]
        )
        card = answer.get("cardData") or {}
        return Listing(files, str(answer.get("sha") or revision), str(card.get("license") or ""))

    def url(self, repo: str, revision: str, path: str) -> str:
        return f"{self.endpoint}/{repo}/resolve/{quote(revision, safe='')}/{quote(path)}"


@dataclass(frozen=True)
class ModelScope:
    """modelscope.cn."""

    endpoint: str = "https://modelscope.cn"

    def listing(self, client: httpx.Client, repo: str, revision: str) -> Listing:
        revision = "master" if revision == "main" else revision
        answer = _json(
            client,
            f"{self.endpoint}/api/v1/models/{repo}/repo/files?Revision={quote(revision, safe='')}&Recursive=True",
        )
        files = tuple(
            RemoteFile(one["Path"], int(one.get("Size") or 0), str(one.get("Sha256") or ""))
            for one in answer["Data"]["Files"]
            if one.get("Type") == "blob"
        )
        return Listing(files, revision)

    def url(self, repo: str, revision: str, path: str) -> str:
        return (
            f"{self.endpoint}/api/v1/models/{repo}/repo?Revision={quote(revision, safe='')}"
            f"&FilePath={quote(path, safe='')}"
        )


class Pulled(NamedTuple):
    path: Path
    """The GGUF file, or the folder of a checkpoint."""
    licence: str


def pull(
    hub: Hub,
    repo: str,
    folder: Path,
    *,
    revision: str = "main",
    pattern: str = "",
    token: str = "",
    say: Callable[[str], None],
) -> Pulled:
    """Fetch `repo` into `folder`. `pattern` picks among its GGUF files. Raises `CannotPull`."""
    if not REPO.fullmatch(repo):
        raise CannotPull(f"{repo!r} is not a name on a hub; write it as ORGANISATION/NAME.")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx.Client(headers=headers, follow_redirects=True, timeout=TIMEOUT) as client:
            listing = hub.listing(client, repo, revision)
            wanted = choose_files(listing.files, pattern)
            _check_room(folder, wanted)
            for number, file in enumerate(wanted, start=1):
                say(f"{number}/{len(wanted)}  {file.path}  {file.size / 2**20:.1f} MiB")
                _fetch(client, hub.url(repo, listing.revision, file.path), file, folder)
    except httpx.HTTPError as error:
        raise CannotPull(
            f"The hub cannot be reached ({error or type(error).__name__}). Try again later."
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise CannotPull(
            f"The hub answered something unexpected ({type(error).__name__}: {error})."
        ) from None
    except OSError as error:
        raise CannotPull(f"{folder} cannot be written: {error.strerror or error}.") from None
    ggufs = [folder / file.path for file in wanted if file.path.endswith(".gguf")]
    return Pulled(ggufs[0] if ggufs else folder, listing.licence)


def choose_files(files: Iterable[RemoteFile], pattern: str = "") -> list[RemoteFile]:
    """What is needed to load a checkpoint: one GGUF (with its further parts), or safetensors with all beside.

    Raises `CannotPull` when there is nothing to load, or several files to choose from.
    """
    files = sorted(file for file in files if _is_inside(file.path))
    ggufs = [file for file in files if file.path.endswith(".gguf")]
    safetensors = [file for file in files if file.path.endswith(".safetensors") and "/" not in file.path]
    if pattern or (ggufs and not safetensors):
        return _one_gguf(ggufs, pattern)
    if not safetensors:
        raise CannotPull(
            "There is nothing here that is safe to load: neither safetensors nor GGUF. (Files of torch's own kind can "
            "run code when they are read; convert them first: manage.py weights convert.)"
        )
    beside = [
        file for file in files if "/" not in file.path and any(fnmatch(file.path, c) for c in COMPANIONS)
    ]
    return [*beside, *safetensors]


def _one_gguf(ggufs: list[RemoteFile], pattern: str) -> list[RemoteFile]:
    found = [file for file in ggufs if not pattern or fnmatch(file.path, pattern) or file.path == pattern]
    # model-00001-of-00003.gguf: its further parts belong to it.
    wholes = {re.sub(r"-\d{5}-of-\d{5}(?=\.gguf$)", "", file.path) for file in found}
    if len(wholes) == 1:
        return found
    names = ", ".join(file.path for file in (found or ggufs)) or "none"
    raise CannotPull(f"Say which file: --file NAME, which may hold *. GGUF files here: {names}.")


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and ".." not in parts and not path.startswith("/") and "\\" not in path


def _check_room(folder: Path, files: list[RemoteFile]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    missing = sum(file.size for file in files if not (folder / file.path).exists())
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise CannotPull(
            f"{folder} has room for {free / 2**30:.1f} GiB, and {missing / 2**30:.1f} GiB are needed. Make room, or "
            "say another folder: --to."
        )


def _fetch(client: httpx.Client, url: str, file: RemoteFile, folder: Path) -> None:
    """Nothing when it is there in full. A part of it that is there is gone on with."""
    target = folder / file.path
    if target.is_file() and (not file.size or target.stat().st_size == file.size):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    have = part.stat().st_size if part.is_file() else 0
    if not (file.size and have == file.size):
        _download(client, url, part, have)
    _check(part, file)
    part.replace(target)


def _download(client: httpx.Client, url: str, part: Path, have: int) -> None:
    with client.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as response:
        _raise_for(response)
        going_on = response.status_code == httpx.codes.PARTIAL_CONTENT
        with part.open("ab" if going_on else "wb") as output:
            for block in response.iter_bytes(BLOCK):
                output.write(block)


def _check(part: Path, file: RemoteFile) -> None:
    size = part.stat().st_size
    if file.size and size != file.size:
        if size > file.size:
            part.unlink()
        raise CannotPull(
            f"{file.path} broke off after {size} of {file.size} bytes. The same command goes on with it."
        )
    if file.sha256 and _sha256(part) != file.sha256:
        part.unlink()
        raise CannotPull(
            f"{file.path} is damaged: its checksum is not the hub's. It is fetched anew by the same command."
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _json(client: httpx.Client, url: str) -> dict[str, Any]:
    response = client.get(url)
    _raise_for(response)
    answer = response.json()
    if not isinstance(answer, dict):
        raise TypeError("not a JSON object")
    return answer


def _raise_for(response: httpx.Response) -> None:
    if response.status_code in (401, 403):
        raise CannotPull(
            "The hub asks who you are, or you have not accepted the model's terms there. Put a token into HF_TOKEN "
            "(MODELSCOPE_API_TOKEN for ModelScope)."
        )
    if response.status_code == httpx.codes.NOT_FOUND:
        raise CannotPull("The hub knows no such model or revision. Is the name right, and is it public?")
    if response.is_error:
        raise CannotPull(f"The hub answered with an error ({response.status_code}). Try again later.")


def find_offline(root: Path, repo: str) -> Path:
    """Where `repo` lies in a folder of checkpoints: `ORG/NAME`, `ORG--NAME`, `NAME`, or a hub client's cache.

    Raises `CannotPull`.
    """
    organisation, _, name = repo.rpartition("/")
    places = [root / repo, root / f"{organisation}--{name}", root / name, *_cached(root, repo)]
    for place in places:
        if place.is_file() or (place.is_dir() and any(place.iterdir())):
            return place
    raise CannotPull(f"{root} holds no {repo}; looked for {', '.join(str(place) for place in places)}.")


def _cached(root: Path, repo: str) -> Iterator[Path]:
    """The snapshots in a cache of huggingface_hub, that of `main` first."""
    cache = root / f"models--{repo.replace('/', '--')}"
    reference = cache / "refs" / "main"
    if reference.is_file():
        yield cache / "snapshots" / reference.read_text(encoding="utf-8").strip()
    if (cache / "snapshots").is_dir():
        yield from sorted((cache / "snapshots").iterdir())
