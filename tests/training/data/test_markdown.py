"""The Markdown of a page. The expected texts are what markdownify 0.11.6 makes of the same HTML, unless they say
more.
"""

import pytest

from training.data.html import BadMarkup, to_markdown
from training.data.markdown import clean_text
from training.data.records import BadRow


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo\n\n"),
        ("a <strong> b </strong>c", "a  **b** c"),
        ("<em>a</em><i></i><del>b</del>", "*a*~~b~~"),
        ("<h1>A</h1><h2>Bc</h2><h3>D</h3>", "A\n=\n\nBc\n--\n\n### D\n\n"),
        ("<ul><li>a</li>\n<li>b<ul><li>c</li></ul></li></ul>", "* a\n* b\n\t+ c\n"),
        ('<ol start="4"><li>a</li><li>b</li></ol>', "4. a\n5. b\n"),
        ("<code>a_b</code> c_d", "`a_b` c\\_d"),
        ("<pre><code>x  = 1\n</code></pre>", "\n```\nx  = 1\n\n```\n"),
        ('<a href="http://x.y">http://x.y</a>', "<http://x.y>"),
        ('<a href="/z" title="t">w</a>', '[w](/z "t")'),
        ('<img alt="a" src="b">', "![a](b)"),
        ("a<br>b<br/>c", "a  \nb  \nc"),
        ("<blockquote>a\nb</blockquote>", "\n> a\n> b\n\n"),
        (
            "<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>",
            "\n\n| A | B |\n| --- | --- |\n| 1 | 2 |\n\n",
        ),
        ("1 &lt; 2 &amp;&amp; 3", "1 < 2 && 3"),
        ("a < b and c > d", "a < b and c > d"),
    ],
)
def test_it_writes_markdown(html, expected):
    assert to_markdown(html) == expected


def test_scripts_and_comments_are_no_text():
    assert to_markdown("<p>a<script>if (1 < 2) {}</script><!-- b <p> --></p>") == "a\n\n"


def test_stray_and_unclosed_tags_do_no_harm():
    assert to_markdown("</div><p>a<b>b</p>c</i>") == "a**b**\n\nc"


def test_tags_without_end_are_refused_and_not_followed():
    with pytest.raises(BadMarkup):
        to_markdown("<b>" * 100_000)


def test_an_open_bracket_without_end_costs_no_time():
    assert to_markdown("<p " * 300_000) is not None


def test_it_takes_off_the_marks_of_sharegpts_pages():
    html = (
        '2 / 3<div class="m"><p>Look:</p><pre><div><div><span>python</span><button>Copy code</button></div>'
        "<code>print(1)\n</code></div></pre></div>Copy12 chars / 3 words"
    )
    assert clean_text(html) == "Look:\n```python\nprint(1)\n```"


def test_plain_text_stays_as_it_is_unless_told_otherwise():
    text = "my_var * 2  if a < b"
    assert clean_text(text) == text
    assert clean_text(text, "always") == "my\\_var \\* 2 if a < b"
    assert clean_text("<p>x</p>", "never") == "<p>x</p>"


def test_bad_markup_is_a_bad_row():
    with pytest.raises(BadRow, match="tags within each other"):
        clean_text("<p>" * 1000 + "</p>")
