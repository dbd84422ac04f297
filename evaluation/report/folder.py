"""The static report: one folder that opens from file://, without a server and without the network.

`index.html` has the tables, `questions/` a page for each question, `assets/` the site's own styles and script, and
`data/` the raw records, from which `numbers.json` and every table can be computed again.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.template.loader import render_to_string

from evaluation.report.material import Material
from evaluation.report.questions import Browser
from evaluation.report.report import Report, build, numbers

ASSETS: Final = (
    "css/tokens.css",
    "css/base.css",
    "css/components.css",
    "css/evaluation.css",
    "js/theme.js",
    "js/evaluation/reading.js",
)
MARK: Final = "numbers.json"
"""Its presence says that a folder is a report, which may be written anew."""


class FolderInUse(Exception):  # noqa: N818 - reads as what happened
    """The folder has something in it that is not a report: it is not ours to replace."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} is not empty and holds no report. Name a new folder with --out.")


def write(material: Material, folder: Path, *, raw: Mapping[str, str]) -> Report:
    """Write the report; `raw` are the texts of the data files by their path within `data/`."""
    _clear(folder)
    report = build(material, _from_index)
    files = [f"data/{name}" for name in sorted(raw)]
    for name, content in raw.items():
        _put(folder / "data" / name, content)
    for asset in ASSETS:
        _copy_asset(asset, folder / "assets")
    _put(folder / "index.html", _render("index", {"report": report, "files": [*files, MARK], "root": ""}))
    browser = Browser(material)
    for position in range(1, len(material.questions) + 1):
        context = {"report": report, "page": browser.page(position, _from_question), "root": "../"}
        _put(folder / _from_index(position), _render("question", context))
    _put(folder / MARK, json.dumps(numbers(report), ensure_ascii=False, indent=1) + "\n")
    return report


def _from_index(position: int) -> str:
    # Numbered, since an id may hold what a file's name must not.
    return f"questions/{position:04}.html"


def _from_question(position: int) -> str:
    return f"{position:04}.html"


def _clear(folder: Path) -> None:
    if folder.exists():
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).is_file()):
            raise FolderInUse(folder)
        for name in ("questions", "assets", "data"):
            shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def _copy_asset(asset: str, folder: Path) -> None:
    source = settings.BASE_DIR / "static" / asset
    folder.mkdir(exist_ok=True)
    shutil.copyfile(source, folder / source.name)


def _render(name: str, context: Mapping[str, Any]) -> str:
    return render_to_string(f"evaluation/folder/{name}.html", dict(context))


def _put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
