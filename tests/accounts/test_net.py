"""The client's address, and who may lie about it."""

import pytest

from chatsite.net import UNKNOWN, client_address, subscriber

PROXY = "10.0.0.1"


@pytest.fixture
def address_of(rf, settings):
    """The address found for a request from `remote` with an `X-Forwarded-For` header."""

    def find(forwarded: str | None, *, proxies: int, remote: str = PROXY) -> str:
        settings.TRUSTED_PROXIES = proxies
        headers = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
        return client_address(rf.get("/", REMOTE_ADDR=remote, **headers))

    return find


def test_it_takes_the_connection_when_no_proxy_is_trusted(address_of):
    assert address_of("203.0.113.9", proxies=0, remote="198.51.100.7") == "198.51.100.7"


def test_it_takes_what_the_only_proxy_wrote(address_of):
    assert address_of("198.51.100.7", proxies=1) == "198.51.100.7"


@pytest.mark.parametrize(
    "forged",
    ["203.0.113.9", "203.0.113.9, 203.0.113.10", "127.0.0.1", " , ,", "unknown", "a" * 5000, "'; DROP TABLE"],
)
def test_it_ignores_what_the_client_put_before_the_proxy(address_of, forged):
    assert address_of(f"{forged}, 198.51.100.7", proxies=1) == "198.51.100.7"


def test_it_looks_behind_two_proxies(address_of):
    assert address_of("203.0.113.9, 198.51.100.7, 10.0.0.2", proxies=2) == "198.51.100.7"


@pytest.mark.parametrize(
    "forwarded", [None, "", "198.51.100.7", "nonsense, 10.0.0.2", ",", "10.0.0.300, 10.0.0.2"]
)
def test_it_falls_back_to_the_connection_when_the_header_is_short_or_broken(address_of, forwarded):
    assert address_of(forwarded, proxies=2) == PROXY


def test_it_ignores_the_headers_that_other_products_believe(rf, settings):
    settings.TRUSTED_PROXIES = 1
    request = rf.get(
        "/",
        REMOTE_ADDR=PROXY,
        HTTP_X_FORWARDED_FOR="198.51.100.7",
        HTTP_X_REAL_IP="203.0.113.9",
        HTTP_CF_CONNECTING_IP="203.0.113.9",
        HTTP_FORWARDED="for=203.0.113.9",
    )
    assert client_address(request) == "198.51.100.7"


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("198.51.100.7:51234", "198.51.100.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:0DB8:0:0::1", "2001:db8::1"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_it_spells_an_address_in_one_way(address_of, written, canonical):
    assert address_of(written, proxies=1) == canonical


@pytest.mark.parametrize("remote", ["", "not an address"])
def test_it_says_so_when_there_is_no_address(address_of, remote):
    assert address_of(None, proxies=0, remote=remote) == UNKNOWN


def test_it_says_so_when_the_server_gives_no_address_at_all(rf):
    request = rf.get("/")
    del request.META["REMOTE_ADDR"]
    assert client_address(request) == UNKNOWN


def test_it_counts_an_ipv6_subscriber_as_one():
    assert subscriber("2001:db8:1:2::1") == subscriber("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert subscriber("2001:db8:1:3::1") != subscriber("2001:db8:1:2::1")


def test_it_counts_ipv4_addresses_one_by_one():
    assert subscriber("198.51.100.7") == "198.51.100.7"
    assert subscriber(UNKNOWN) == UNKNOWN
