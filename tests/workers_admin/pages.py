"""Reading the admin's pages in tests."""

import re
from html import unescape


def text(response) -> str:
    """What a person reads on the page."""
    assert response.status_code == 200, response.status_code
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", response.content.decode(), flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def cells(response, column: str) -> list[str]:
    """The texts of a list's column, from the top."""
    assert response.status_code == 200, response.status_code
    found = re.findall(
        rf'<t[dh] class="field-{column}[^"]*">(.*?)</t[dh]>', response.content.decode(), flags=re.S
    )
    return [" ".join(unescape(re.sub(r"<[^>]+>", " ", cell)).split()) for cell in found]
