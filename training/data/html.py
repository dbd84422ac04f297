"""HTML of chat pages as Markdown, in one pass over the text and without a parser library.

The shape of the Markdown is that of markdownify 0.11.6, which FastChat's cleaning uses, so that data cleaned by
either is alike; docs/training-data.md lists where it differs on purpose. Unclosed and stray tags are taken as
browsers' parsers take them: an end tag closes the nearest open one of its name, others are passed over.
"""

import re
from collections.abc import Callable
from html import unescape

DEEPEST = 150
"""Open tags within each other; a page has some ten."""

# No part runs over a `<`: a text of nothing but open brackets must not be read again from each of them.
_TOKEN = re.compile(
    r"<!--.*?(?:-->|\Z)"  # a comment
    r"|<(?P<raw>script|style)\b[^<>]*>.*?(?:</(?P=raw)\s*>|\Z)"  # neither is text
    r"|<[!?][^<>]*>"  # a document type, a processing instruction
    r"|<(?P<end>/)?(?P<tag>[a-zA-Z][^\s/>]*)(?P<attributes>(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"""([^\s=/>"']+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""")
_BLANKS = re.compile(r"[\t ]+")
_LINE_START = re.compile(r"^", re.MULTILINE)
_VOID = frozenset(
    [
        *("area", "base", "br", "col", "embed", "hr", "img", "input"),
        *("link", "meta", "source", "track", "wbr"),
    ]
)
_NESTED = frozenset(("ol", "ul", "li", "table", "thead", "tbody", "tfoot", "tr", "td", "th"))
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LOOKS_LIKE_HTML = re.compile(
    r"</(?:p|div|span|pre|code|ol|ul|li|table|h[1-6]|a|strong|em|b|i|blockquote)\s*>|<br\s*/?>|<p>|<div\b",
    re.IGNORECASE,
)


class BadMarkup(ValueError):  # noqa: N818 - reads as what happened
    """Markup that no page has: tags within tags without end."""


class _Node:
    __slots__ = ("attributes", "children", "inline", "parent", "tag")

    def __init__(self, tag: str, attributes: str, parent: "_Node | None"):
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.children: list[_Node | str] = []
        self.inline = False

    def attribute(self, name: str) -> str:
        for key, double, single, bare in _ATTRIBUTE.findall(self.attributes):
            if key.lower() == name:
                return unescape(double or single or bare)
        return ""

    def within(self, tag: str) -> bool:
        node: _Node | None = self
        while node is not None:
            if node.tag == tag:
                return True
            node = node.parent
        return False


def looks_like_html(text: str) -> bool:
    """Whether a text has tags of a page, rather than a `<` of its own."""
    return "<" in text and _LOOKS_LIKE_HTML.search(text) is not None


def to_markdown(html: str) -> str:
    """Raises `BadMarkup`. Not stripped at its ends."""
    if "<" not in html:
        return _escape(_BLANKS.sub(" ", _as_text(html)))
    root = _tree(html)
    return _inner(root, inline=False)


def _as_text(html: str) -> str:
    return unescape(html) if "&" in html else html


def _tree(html: str) -> _Node:
    root = node = _Node("", "", None)
    depth = 0
    end = 0
    open_tags: dict[str, int] = {}
    for match in _TOKEN.finditer(html):
        start = match.start()
        if start > end:
            _add_text(node, html[end:start])
        end = match.end()
        tag = match["tag"]
        if tag is None:
            continue
        tag = tag.lower()
        if match["end"]:
            if not open_tags.get(tag):
                continue
            while node.tag != tag and node.parent is not None:
                open_tags[node.tag] -= 1
                node, depth = node.parent, depth - 1
            open_tags[tag] -= 1
            node, depth = node.parent or root, depth - 1
            continue
        child = _Node(tag, match["attributes"], node)
        node.children.append(child)
        if tag in _VOID or child.attributes.endswith("/"):
            continue
        node, depth = child, depth + 1
        open_tags[tag] = open_tags.get(tag, 0) + 1
        if depth > DEEPEST:
            raise BadMarkup(f"more than {DEEPEST} tags within each other")
    if end < len(html):
        _add_text(node, html[end:])
    return root


def _add_text(node: _Node, html: str) -> None:
    text = _as_text(html)
    if text.isspace() and not node.within("pre"):
        text = "\n" if "\n" in text else " "
    node.children.append(text)


def _inner(node: _Node, *, inline: bool) -> str:
    """What a node holds, converted."""
    children = node.children
    if node.tag in _NESTED:
        children = node.children = _without_blanks(children)
    parts = []
    last = len(children) - 1
    for index, child in enumerate(children):
        if isinstance(child, str):
            text = _converted_text(child, node)
            if node.tag == "li" and (index == last or _tag_of(children[index + 1]) in ("ul", "ol")):
                text = text.rstrip()
            parts.append(text)
        else:
            parts.append(_converted(child, index, children, inline=inline))
    return "".join(parts)


def _without_blanks(children: "list[_Node | str]") -> "list[_Node | str]":
    """Blank text at the ends of a list or table and between its parts is layout."""
    last = len(children) - 1
    return [
        child
        for index, child in enumerate(children)
        if not (
            isinstance(child, str)
            and child.isspace()
            and (
                index in (0, last)
                or _tag_of(children[index - 1]) in _NESTED
                or _tag_of(children[index + 1]) in _NESTED
            )
        )
    ]


def _tag_of(child: "_Node | str") -> str:
    return "" if isinstance(child, str) else child.tag


def _converted_text(text: str, node: _Node) -> str:
    parent = node.parent.tag if node.parent else ""
    if node.tag == "pre" or (node.tag == "code" and parent == "pre"):
        return text
    text = _BLANKS.sub(" ", text)
    return text if node.tag == "code" else _escape(text)


def _escape(text: str) -> str:
    if "*" in text:
        text = text.replace("*", r"\*")
    return text.replace("_", r"\_") if "_" in text else text


def _converted(node: _Node, index: int, siblings: "list[_Node | str]", *, inline: bool) -> str:
    """`inline`: within a heading or a cell, which holds no blocks."""
    tag, node.inline = node.tag, inline
    if level := _HEADINGS.get(tag):
        return _heading(_inner(node, inline=True), level, inline=inline)
    if tag in ("td", "th"):
        return f" {_inner(node, inline=True)} |"
    text = _inner(node, inline=inline)
    if mark := _MARKS.get(tag):
        return text if tag in _CODE and node.parent and node.parent.tag == "pre" else _marked(text, mark)
    if tag in ("ul", "ol"):
        return _list(node, text, index, siblings)
    if tag == "li":
        return _item(node, text, index, siblings)
    if tag == "tr":
        return _row(node, text, index, siblings)
    convert = _CONVERTERS.get(tag)
    return convert(node, text) if convert else text


def _marked(text: str, mark: str) -> str:
    """`<b> x</b>` is ` **x**`: marks stand at the words."""
    words = text.strip()
    if not words:
        return ""
    before, behind = " " * (text[0] == " "), " " * (text[-1] == " ")
    return f"{before}{mark}{words}{mark}{behind}"


def _heading(text: str, level: int, *, inline: bool) -> str:
    if inline:
        return text
    text = text.rstrip()
    if level > 2:
        return f"{'#' * level} {text}\n\n"
    return f"{text}\n{('=' if level == 1 else '-') * len(text)}\n\n" if text else ""


def _list(node: _Node, text: str, index: int, siblings: "list[_Node | str]") -> str:
    if node.parent and node.parent.within("li"):
        return "\n" + _LINE_START.sub("\t", text).rstrip()
    followed = index + 1 < len(siblings) and _tag_of(siblings[index + 1]) not in ("ul", "ol")
    return text + ("\n" if followed else "")


def _item(node: _Node, text: str, index: int, siblings: "list[_Node | str]") -> str:
    parent = node.parent
    if parent is not None and parent.tag == "ol":
        start = parent.attribute("start")
        bullet = f"{(int(start) if start.isdecimal() else 1) + index}."
    else:
        bullet = "*+-"[(_depth_of_lists(node) - 1) % 3]
    return f"{bullet} {text.strip()}\n"


def _depth_of_lists(node: _Node) -> int:
    depth = 0
    above: _Node | None = node
    while above is not None:
        depth += above.tag == "ul"
        above = above.parent
    return depth


def _row(node: _Node, text: str, index: int, siblings: "list[_Node | str]") -> str:
    cells = [child for child in node.children if _tag_of(child) in ("td", "th")]
    rule = f"| {' | '.join(['---'] * len(cells))} |\n"
    first = index == 0
    if first and all(_tag_of(cell) == "th" for cell in cells):
        return f"|{text}\n{rule}"
    parent = node.parent
    above = parent.parent.children[0] if parent and parent.parent and parent.parent.children else None
    if first and parent and (parent.tag == "table" or (parent.tag == "tbody" and above is parent)):
        return f"| {' | '.join([''] * len(cells))} |\n{rule}|{text}\n"
    return f"|{text}\n"


def _link(node: _Node, text: str) -> str:
    words = text.strip()
    if not words:
        return ""
    target, title = node.attribute("href"), node.attribute("title")
    if not target:
        return words
    if words.replace(r"\_", "_") == target and not title:
        return f"<{target}>"
    before, behind = " " * (text[0] == " "), " " * (text[-1] == " ")
    return f"{before}[{words}]({target}{_title(title)}){behind}"


def _title(title: str) -> str:
    return ' "{}"'.format(title.replace('"', r"\"")) if title else ""


def _image(node: _Node, text: str) -> str:
    alternative = node.attribute("alt")
    if node.inline:
        return alternative
    return f"![{alternative}]({node.attribute('src')}{_title(node.attribute('title'))})"


def _quote(node: _Node, text: str) -> str:
    if node.inline or not text:
        return text
    return "\n" + _LINE_START.sub("> ", text) + "\n\n"


def _paragraph(node: _Node, text: str) -> str:
    return text if node.inline or not text else f"{text}\n\n"


def _block_of_code(node: _Node, text: str) -> str:
    return f"\n```\n{text}\n```\n" if text else ""


_CODE = ("code", "kbd", "samp")
_MARKS = {
    "b": "**", "strong": "**", "em": "*", "i": "*", "del": "~~", "s": "~~", "code": "`", "kbd": "`", "samp": "`",
}  # fmt: skip
_CONVERTERS: dict[str, Callable[[_Node, str], str]] = {
    "a": _link,
    "blockquote": _quote,
    "br": lambda node, text: "" if node.inline else "  \n",
    "hr": lambda node, text: "\n\n---\n\n",
    "img": _image,
    "p": _paragraph,
    "pre": _block_of_code,
    "table": lambda node, text: f"\n\n{text}\n",
}
