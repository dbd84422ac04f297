"""Counting attempts."""

import threading
from collections.abc import Iterator
from unittest import mock

import pytest
from django.core.cache import cache, caches
from django.core.cache.backends.redis import RedisCache

from chatsite.accounts.services.limits import Count, Limit, TooManyAttempts, give_back, take

THREE = Limit("three", attempts=3, seconds=60)
NOON = 1_800_000_000.0  # a multiple of 60


@pytest.fixture(params=["the tests' cache", "a true broker"], autouse=True)
def each_cache(request, settings) -> Iterator[None]:
    """The product counts in Redis or Valkey; what holds for one cache must hold for the other."""
    if request.param == "a true broker":
        url = request.getfixturevalue("valkey_url")
        settings.CACHES = {
            "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}
        }
        store = caches["default"]
        assert isinstance(store, RedisCache)
        store.clear()
        yield
        store._cache.get_client(write=True).connection_pool.disconnect()
    else:
        yield


@pytest.fixture
def clock():
    with mock.patch("chatsite.accounts.services.limits.time.time", return_value=NOON) as clock:
        yield clock


def use_up(*counts: Count) -> None:
    for _ in range(counts[0].limit.attempts):
        take(*counts)


def test_it_allows_exactly_the_attempts_of_the_limit(clock):
    alice = Count(THREE, "alice")
    use_up(alice)
    with pytest.raises(TooManyAttempts):
        take(alice)


def test_it_says_how_long_to_wait(clock):
    use_up(Count(THREE, "alice"))
    clock.return_value = NOON + 15
    with pytest.raises(TooManyAttempts) as refusal:
        take(Count(THREE, "alice"))
    assert refusal.value.retry_after == 45


def test_it_never_says_to_wait_zero_seconds(clock):
    use_up(Count(THREE, "alice"))
    clock.return_value = NOON + 59.999
    with pytest.raises(TooManyAttempts) as refusal:
        take(Count(THREE, "alice"))
    assert refusal.value.retry_after == 1


def test_it_starts_afresh_when_the_wait_is_over(clock):
    use_up(Count(THREE, "alice"))
    clock.return_value = NOON + 60
    take(Count(THREE, "alice"))


def test_it_does_not_prolong_the_wait_for_those_who_keep_trying(clock):
    use_up(Count(THREE, "alice"))
    for second in range(1, 60):
        clock.return_value = NOON + second
        with pytest.raises(TooManyAttempts):
            take(Count(THREE, "alice"))
    clock.return_value = NOON + 60
    take(Count(THREE, "alice"))


def test_it_counts_each_subject_and_each_limit_by_itself(clock):
    use_up(Count(THREE, "alice"))
    take(Count(THREE, "bob"))
    take(Count(Limit("other", attempts=3, seconds=60), "alice"))


def test_it_gives_an_honest_attempt_back(clock):
    for _ in range(20):
        take(Count(THREE, "office"))
        give_back(Count(THREE, "office"))
    use_up(Count(THREE, "office"))


def test_it_does_not_forget_failures_when_a_success_is_given_back(clock):
    take(Count(THREE, "office"))
    take(Count(THREE, "office"))
    take(Count(THREE, "office"))
    give_back(Count(THREE, "office"))
    take(Count(THREE, "office"))
    with pytest.raises(TooManyAttempts):
        take(Count(THREE, "office"))


def test_it_gives_nothing_back_to_a_window_that_has_ended(clock):
    take(Count(THREE, "office"))
    clock.return_value = NOON + 60
    give_back(Count(THREE, "office"))
    use_up(Count(THREE, "office"))
    with pytest.raises(TooManyAttempts):
        take(Count(THREE, "office"))


def test_it_does_not_count_against_an_account_what_it_refuses_by_address(clock):
    address, account = Count(THREE, "192.0.2.1"), Count(THREE, "alice")
    use_up(address)
    for _ in range(10):
        with pytest.raises(TooManyAttempts):
            take(address, account)
    use_up(account)


def test_it_counts_attempts_at_the_same_moment_one_by_one(clock):
    limit = Limit("many", attempts=40, seconds=60)
    refused = []

    def attempt() -> None:
        for _ in range(20):
            try:
                take(Count(limit, "alice"))
            except TooManyAttempts:
                refused.append(1)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 40


def test_it_lets_people_in_and_says_so_when_the_cache_is_down(clock, caplog):
    with mock.patch.object(cache, "add", side_effect=ConnectionError("no broker")):
        take(Count(THREE, "alice"))
    with mock.patch.object(cache, "decr", side_effect=ConnectionError("no broker")):
        give_back(Count(THREE, "alice"))
    assert caplog.text.count("the cache does not answer") == 2


@pytest.mark.parametrize("subject", ["", "a" * 10_000, "with space\n", "\udcff", "ключ"])
def test_it_counts_whatever_somebody_typed(clock, subject):
    use_up(Count(THREE, subject))
    with pytest.raises(TooManyAttempts):
        take(Count(THREE, subject))
