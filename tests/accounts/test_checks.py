"""Settings that are refused together."""

import pytest

from chatsite.accounts.checks import check_reachability


@pytest.fixture
def warnings_for(settings):
    def check(hosts: list[str], *, https: bool = False, proxies: int = 0) -> list[str | None]:
        settings.ALLOWED_HOSTS, settings.HTTPS, settings.TRUSTED_PROXIES = hosts, https, proxies
        return [warning.id for warning in check_reachability(None)]

    return check


def test_a_local_start_is_fine(warnings_for):
    assert warnings_for(["localhost", "127.0.0.1", "[::1]"]) == []


def test_a_site_behind_a_proxy_with_tls_is_fine(warnings_for):
    assert warnings_for(["chat.example.org"], https=True, proxies=1) == []


def test_a_wildcard_lets_strangers_choose_the_host_in_a_mail(warnings_for):
    assert warnings_for(["*"]) == ["accounts.W001"]


@pytest.mark.parametrize(
    "host", ["chat.example.org", ".example.org", "8.8.8.8", "[2606:4700::1111]", "CHAT.Example.Org"]
)
def test_a_public_site_without_tls_sends_passwords_in_the_clear(warnings_for, host):
    assert warnings_for(["localhost", host]) == ["accounts.W002"]


@pytest.mark.parametrize(
    "host",
    [
        "gpu-box",
        "gpu-box.local",
        "chat.lan",
        "chat.internal",
        "10.0.0.5",
        "192.168.1.5",
        "[fd00::1]",
        "app.localhost",
    ],
)
def test_a_site_in_a_local_network_is_the_operators_choice(warnings_for, host):
    assert warnings_for([host]) == []


def test_tls_without_a_trusted_proxy_breaks_every_form(warnings_for):
    assert warnings_for(["chat.example.org"], https=True) == ["accounts.W003"]
