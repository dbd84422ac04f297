"""The prompt formats that come with the product: one file each in `chat_templates/`, found by a chat model's name.

Knows files and templates, and neither weights nor the database. See docs/chat-templates.md.
"""

import difflib
import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from workers.chat_template import BadTemplate, ChatTemplate

FOLDER: Final = Path(__file__).parent / "chat_templates"
STYLES: Final = FOLDER / "styles"
INDEX: Final = FOLDER / "index.toml"
# Of a format's file: the type, and for a list that of its entries.
KEYS: Final[dict[str, tuple[type, type | None]]] = {
    "style": (str, None),
    "roles": (list, str),
    "separators": (list, str),
    "first_round": (int, None),
    "system_format": (str, None),
    "system": (str, None),
    "stop": (list, str),
    "stop_token_ids": (list, int),
    "examples": (list, dict),
}
SYSTEM: Final = "{system_message}"


class UnknownFormat(ValueError):  # noqa: N818 - reads as what happened
    """There is no prompt format of that name. Says which ones sound like it."""


@dataclass(frozen=True)
class PromptFormat:
    """How messages become a prompt, and what ends the answer."""

    name: str
    source: str
    """Jinja, complete in itself: it can be given to llama.cpp or saved beside a checkpoint."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer and do not belong to it."""
    stop_token_ids: tuple[int, ...] = ()
    """Tokens that do the same, by the number they have in the models this format was made for."""
    system: str = ""
    """The system prompt where a conversation brings none."""
    roles: tuple[str, str] = ("user", "assistant")
    style: str = ""
    """The separator style, when the format is declared and not written out in Jinja."""

    @cached_property
    def template(self) -> ChatTemplate:
        return ChatTemplate(self.source, name=self.name)


@dataclass(frozen=True, slots=True)
class Choice:
    """A format, and why it was chosen."""

    format: PromptFormat
    reason: str


def names() -> list[str]:
    """Of all formats, in order."""
    found = {path.stem for path in FOLDER.iterdir() if path.suffix in (".toml", ".jinja")} - {INDEX.stem}
    return sorted(found, key=str.lower)


@cache
def load(name: str) -> PromptFormat:
    """The format called `name`, or the one in the file `name` (`.toml` or `.jinja`).

    Raises `UnknownFormat`, and `BadTemplate` for a file that does not hold one.
    """
    path = Path(name).expanduser()
    if path.suffix in (".toml", ".jinja"):
        if not path.is_file():
            raise UnknownFormat(f"There is no file {path}.")
        return _read(path)
    for suffix in (".toml", ".jinja"):
        # Compared with the folder's list, so that a name cannot lead out of it.
        if name in names() and (FOLDER / (name + suffix)).is_file():
            return _read(FOLDER / (name + suffix))
    near = difflib.get_close_matches(name, names(), n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "`manage.py models formats` lists them."
    raise UnknownFormat(f"There is no prompt format {name!r}; {hint}")


def choose(*names_of_model: str) -> Choice:
    """The format for a chat model that goes by these names (its name, the path or hub name of its weights).

    The index's first rule that fits a name decides; each name is tried as its last part first, then its folder's, so
    that a folder far above cannot. Nothing fits: `completion`, the format of models that never learned to chat.
    """
    for name in names_of_model:
        for part in _parts(name):
            for rule in _rules():
                if rule.fits(part):
                    return Choice(load(rule.format), f"the name {part!r} fits the rule {rule}")
    return Choice(
        load("completion"), "no rule fits the name; it is taken for a model that only continues a text"
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """An entry of the index."""

    format: str
    all: tuple[str, ...]
    """Regular expressions, each of which must be found in the name (in lower case)."""
    none: tuple[str, ...] = ()
    """Regular expressions that must not be."""

    def fits(self, name: str) -> bool:
        lower = name.lower()
        return all(re.search(word, lower) for word in self.all) and not any(
            re.search(word, lower) for word in self.none
        )

    def __str__(self) -> str:
        without = f" without {' or '.join(self.none)}" if self.none else ""
        return f"“{' and '.join(self.all)}{without}”"


@cache
def _rules() -> tuple[Rule, ...]:
    data = tomllib.loads(INDEX.read_text(encoding="utf-8"))
    return tuple(
        Rule(rule["format"], tuple(rule["all"]), tuple(rule.get("none", ()))) for rule in data["rules"]
    )


def _parts(name: str) -> list[str]:
    """`lmsys/vicuna-7b` → its last part, then the one above. A hub's cache keeps the name as models--ORG--NAME."""
    parts = [part for part in re.split(r"[/\\]", name.removeprefix("package:")) if part and part != "."]
    cached = [part.split("--")[-1] for part in parts if part.startswith("models--")]
    return [*cached, *reversed(parts[-2:])]


def _read(path: Path) -> PromptFormat:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jinja":
            declared = _declared(text)
            return _of(path.stem, text, declared)
        values = tomllib.loads(text)
        _check(path.name, values, needed=("style", "roles"))
        return _of(path.stem, _composed(values), values)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadTemplate(f"The prompt format {path.name} cannot be read: {error}.") from None


def _of(name: str, source: str, values: dict[str, Any]) -> PromptFormat:
    roles = values.get("roles", ("user", "assistant"))
    return PromptFormat(
        name=name,
        source=source,
        stop=tuple(values.get("stop", ())),
        stop_token_ids=tuple(values.get("stop_token_ids", ())),
        system=values.get("system", ""),
        roles=(roles[0], roles[1]),
        style=values.get("style", ""),
    )


def _declared(source: str) -> dict[str, Any]:
    """What a Jinja file says of itself: TOML in a first comment that begins with `format:`."""
    head = re.match(r"\{#-?\s*format:\s*(.*?)-?#\}", source, re.DOTALL)
    if head is None:
        return {}
    values = tomllib.loads(head[1])
    _check("of the Jinja file's head", values, needed=())
    return values


def _check(file: str, values: dict[str, Any], *, needed: tuple[str, ...]) -> None:
    for key in needed:
        if key not in values:
            raise BadTemplate(f"The prompt format {file} lacks {key!r}.")
    for key, value in values.items():
        if key not in KEYS:
            raise BadTemplate(f"The prompt format {file}: unknown key {key!r}; known are {', '.join(KEYS)}.")
        kind, entry = KEYS[key]
        entries: list[Any] = value if isinstance(value, list) else []
        if not isinstance(value, kind) or (entry and not all(isinstance(one, entry) for one in entries)):
            of = f" of {entry.__name__}" if entry else ""
            raise BadTemplate(f"The prompt format {file}: {key} must be a {kind.__name__}{of}.")
    if "roles" in values and len(values["roles"]) != 2:
        raise BadTemplate(f"The prompt format {file}: roles are two, the person's and the model's.")
    for example in values.get("examples", ()):
        if example.keys() != {"role", "content"} or example["role"] not in ("user", "assistant"):
            raise BadTemplate(
                f"The prompt format {file}: an example has a role (user, assistant) and a content."
            )


def _composed(values: dict[str, Any]) -> str:
    """A Jinja template from a style and its constants."""
    if values["style"] not in styles():
        raise BadTemplate(f"There is no style {values['style']!r}; there are {', '.join(styles())}.")
    separators = [*values.get("separators", ()), "", ""]
    before, shown, after = values.get("system_format", SYSTEM).partition(SYSTEM)
    roles = {"user": values["roles"][0], "assistant": values["roles"][1]}
    constants = {
        "roles": values["roles"],
        "sep": separators[0],
        "sep2": separators[1],
        "first_round": values.get("first_round", 0),
        "default_system": values.get("system", ""),
        "system_before": before,
        "system_after": after,
        "shows_system": bool(shown),
        "examples": [
            {"name": roles[example["role"]], "text": example["content"]}
            for example in values.get("examples", ())
        ],
    }
    lines = [f"{{%- set {name} = {_literal(value)} -%}}" for name, value in constants.items()]
    prelude = (STYLES / "prelude.jinja").read_text(encoding="utf-8")
    return "\n".join([*lines, prelude + (STYLES / f"{values['style']}.jinja").read_text(encoding="utf-8")])


def styles() -> list[str]:
    return sorted(path.stem for path in STYLES.glob("*.jinja") if path.stem != "prelude")


def _literal(value: Any) -> str:
    """As Jinja writes constants, which is as JSON does (its `true` and `false` are Jinja's too)."""
    return json.dumps(value, ensure_ascii=False)
