"""Nobody looks into the operator's network by naming an address."""

import http.client
from urllib.parse import SplitResult

import pytest

from evaluation.suites import SuiteError, fetching
from evaluation.suites.fetching import Reply

PUBLIC = "93.184.216.34"


class Web:
    """Answers from a table, and remembers who was connected to."""

    def __init__(self, **pages: Reply):
        self.pages = pages
        self.asked: list[tuple[str, str]] = []

    def __call__(self, url: SplitResult, address: str) -> Reply:
        self.asked.append((url.geturl(), address))
        return self.pages[url.path.strip("/")]


def public(host: str) -> list[str]:
    return [PUBLIC]


def moved(location: str) -> Reply:
    return Reply(302, location, b"")


def test_it_connects_to_the_address_that_was_checked():
    web = Web(a=Reply(200, "", "grün".encode()))
    assert fetching.fetch("https://example.org/a", resolve=public, get=web) == "grün"
    assert web.asked == [("https://example.org/a", PUBLIC)]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.8", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",  # noqa: S104
        "224.0.0.1", "::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "2002:7f00:1::", "::",
    ],
)  # fmt: skip
def test_it_connects_to_no_private_address(address):
    web = Web(a=Reply(200, "", b""))
    with pytest.raises(SuiteError, match="private network"):
        fetching.fetch("https://example.org/a", resolve=lambda host: [address], get=web)
    assert web.asked == []


def test_one_private_address_among_public_ones_is_enough_to_refuse():
    with pytest.raises(SuiteError, match="private network"):
        fetching.fetch("https://example.org/a", resolve=lambda host: [PUBLIC, "10.0.0.1"], get=Web())


def test_it_follows_redirects_and_checks_each_of_them():
    web = Web(a=moved("/b"), b=moved("https://inside.example/c"), c=Reply(200, "", b"secret"))

    def resolve(host: str) -> list[str]:
        return ["10.0.0.1"] if host == "inside.example" else [PUBLIC]

    with pytest.raises(SuiteError, match="private network"):
        fetching.fetch("https://example.org/a", resolve=resolve, get=web)
    assert [url for url, _ in web.asked] == ["https://example.org/a", "https://example.org/b"]


def test_it_does_not_follow_to_plain_http():
    with pytest.raises(SuiteError, match="not an https"):
        fetching.fetch("https://example.org/a", resolve=public, get=Web(a=moved("http://example.org/b")))


def test_it_does_not_run_in_circles():
    web = Web(a=moved("/a"))
    with pytest.raises(SuiteError, match="redirects more than"):
        fetching.fetch("https://example.org/a", resolve=public, get=web)
    assert len(web.asked) == fetching.REDIRECTS + 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://user:secret@example.org/a", "without a user name"),
        ("https:///a", "https://host/path"),
        ("https://example.org:99999/a", "no address"),
        ("https://example.org/a b", "percent-encoded"),
        ("https://example.org/grün", "percent-encoded"),
    ],
)
def test_it_refuses_addresses_that_are_none(url, message):
    with pytest.raises(SuiteError, match=message) as caught:
        fetching.fetch(url, resolve=public, get=Web())
    assert "secret" not in str(caught.value)


def test_it_says_what_the_server_said():
    with pytest.raises(SuiteError, match="status 404"):
        fetching.fetch("https://example.org/a", resolve=public, get=Web(a=Reply(404, "", b"")))


@pytest.mark.parametrize(
    "trouble", [ConnectionRefusedError("refused"), http.client.BadStatusLine("x"), TimeoutError()]
)
def test_it_says_that_a_server_cannot_be_reached(trouble):
    def get(url: SplitResult, address: str) -> Reply:
        raise trouble

    with pytest.raises(SuiteError, match="cannot be fetched"):
        fetching.fetch("https://example.org/a", resolve=public, get=get)


def test_it_says_that_a_host_is_unknown():
    def resolve(host: str) -> list[str]:
        raise OSError("not known")

    with pytest.raises(SuiteError, match="cannot be found"):
        fetching.fetch("https://nowhere.example/a", resolve=resolve, get=Web())


class Endless:
    """A body without an end."""

    def read1(self, size: int) -> bytes:
        return b"x" * size


def test_it_stops_reading_what_is_too_large(monkeypatch):
    monkeypatch.setattr(fetching, "LARGEST", 3 * fetching.PIECE)
    with pytest.raises(SuiteError, match="larger than"):
        fetching._read(Endless(), "https://example.org/a")  # type: ignore[arg-type] # all that is read of it is there


def test_it_stops_reading_what_takes_too_long(monkeypatch):
    monkeypatch.setattr(fetching, "WHOLE", -1.0)
    with pytest.raises(SuiteError, match="took longer"):
        fetching._read(Endless(), "https://example.org/a")  # type: ignore[arg-type]


def test_what_is_no_text_is_refused():
    with pytest.raises(SuiteError, match="UTF-8"):
        fetching.fetch("https://example.org/a", resolve=public, get=Web(a=Reply(200, "", b"\xff")))
