"""Pairs, seals, names in answers, and answers in step: plain values, no database."""

import pytest

from arena import identity, matching, sealing
from arena.matching import Pinned, pair
from arena.moderation import endpoint, words
from arena.pacing import Pacer, Piece


def test_it_draws_all_pairs_alike_without_weights():
    chances = matching.by_weight({"a": 1, "b": 1, "c": 1})
    assert chances == {pair("a", "b"): 1 / 3, pair("a", "c"): 1 / 3, pair("b", "c"): 1 / 3}


def test_it_draws_a_pair_in_proportion_to_the_product_of_its_weights():
    chances = matching.by_weight({"a": 2, "b": 1, "c": 1, "d": 0})
    assert chances[pair("a", "b")] == pytest.approx(0.4)
    assert chances[pair("c", "b")] == pytest.approx(0.2)
    assert pair("a", "d") not in chances


def test_it_draws_all_alike_when_the_weights_leave_nothing_and_nothing_when_there_is_one():
    assert matching.by_weight({"a": 1, "b": 0}) == {pair("a", "b"): 1.0}
    assert matching.by_weight({"a": 1}) == {}


def test_weights_shift_chances_and_leave_them_alone_when_nothing_would_be_left():
    chances = {pair("a", "b"): 0.5, pair("a", "c"): 0.25, pair("b", "c"): 0.25}
    shifted = matching.times_weights(chances, {"a": 1, "b": 1, "c": 2})
    assert shifted == {pair("a", "b"): 1 / 3, pair("a", "c"): 1 / 3, pair("b", "c"): 1 / 3}
    assert matching.times_weights(chances, {"a": 0, "b": 0, "c": 0}) == chances


def test_it_gives_pinned_pairs_their_share_while_both_are_alive():
    even = matching.by_weight({"a": 1, "b": 1, "c": 1})
    mixed = matching.with_pinned(even, [Pinned("b", "a", 0.4), Pinned("a", "gone", 0.5)], ["a", "b", "c"])
    assert mixed[pair("a", "b")] == pytest.approx(0.4 + 0.6 / 3)
    assert sum(mixed.values()) == pytest.approx(1)


def test_it_scales_shares_down_that_are_more_than_all():
    even = matching.by_weight({"a": 1, "b": 1, "c": 1})
    mixed = matching.with_pinned(even, [Pinned("a", "b", 1.0), Pinned("b", "c", 1.0)], ["a", "b", "c"])
    assert mixed == {pair("a", "b"): 0.5, pair("b", "c"): 0.5}


def test_a_seal_cannot_be_guessed_by_trying_all_pairs():
    one = sealing.seal(battle="1", left="a", right="b", nonce=sealing.new_nonce())
    other = sealing.seal(battle="1", left="a", right="b", nonce=sealing.new_nonce())
    assert one != other


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I am GPT-4o.", ["gpt-4o"]),
        ("claude's", ["claude"]),
        ("Claudette speaks", []),
        ("an antigpt-4 league", []),
        ("SmolLM is small", ["smollm"]),
        ("SMOLLM2-135M-instruct", ["smollm2-135m-instruct"]),
        ("Please instruct me", []),
        ("我是 Qwen，你好", ["qwen"]),
        ("I am OpenAI, by OpenAI", ["openai"]),
    ],
)
def test_it_finds_whole_words_that_say_who_answers(text, found):
    findings = identity.find([("left", 1, text)], ["SmolLM2-135M-Instruct", "Tiny-Base"])
    assert [finding.word for finding in findings] == found


def fed(**texts: str) -> Pacer:
    pacer = Pacer()
    for side, text in texts.items():
        pacer.add(side, text)
    return pacer


def test_it_shows_nothing_until_both_sides_can_begin():
    pacer = fed(left="Hello there")
    assert pacer.advance(0.1) == []
    pacer.add("right", "Hey")
    assert pacer.advance(0.1) == [Piece("left", "Hel", False), Piece("right", "Hey", False)]


def test_it_holds_the_faster_side_back_to_the_slower_one():
    pacer = fed(left="ab", right="xy")
    pacer.advance(0.1)
    pacer.add("left", "c" * 500)
    assert pacer.advance(0.1) == []
    pacer.add("right", "z")
    assert pacer.advance(0.1) == [Piece("left", "c", False), Piece("right", "z", False)]


def shown_lengths(left_speed: int, right_speed: int) -> list[tuple[int, int]]:
    """What a reader sees after each tenth of a second of two answers of 300 characters."""
    pacer, lengths = Pacer(), {"left": 0, "right": 0}
    written = {"left": 0, "right": 0}
    seen = []
    for _ in range(200):
        for side, speed in (("left", left_speed), ("right", right_speed)):
            more = min(speed, 300 - written[side])
            if more:
                pacer.add(side, "x" * more)
                written[side] += more
                if written[side] == 300:
                    pacer.complete(side)
        for piece in pacer.advance(0.1):
            lengths[piece.side] += len(piece.text)
        seen.append((lengths["left"], lengths["right"]))
        if pacer.done:
            return seen
    raise AssertionError("it never came to an end")


def test_a_reader_cannot_tell_from_the_pace_which_side_is_the_fast_one():
    assert shown_lengths(3, 30) == shown_lengths(30, 3)
    assert all(left == right for left, right in shown_lengths(3, 30))


def test_it_does_not_end_a_failed_side_before_the_other_begins():
    pacer = Pacer()
    pacer.complete("left")
    assert pacer.advance(0.1) == []
    pacer.add("right", "Hi")
    assert Piece("left", "", True) in pacer.advance(0.1)
    pacer.complete("right")
    assert pacer.advance(0.1) == [Piece("right", "", True)]
    assert pacer.done


def test_it_goes_on_with_the_longer_answer_at_the_common_pace():
    pacer = fed(left="ab", right="ab")
    pacer.complete("left")
    assert Piece("left", "ab", True) in pacer.advance(0.1)
    pacer.add("right", "y" * 5000)
    pieces = pacer.advance(0.1)
    assert [piece.side for piece in pieces] == ["right"]
    assert len(pieces[0].text) <= 40


def test_it_skips_what_a_page_has_that_comes_back():
    pacer = fed(left="abcdef", right="uvwxyz")
    for side in ("left", "right"):
        pacer.skip(side, 4)
    assert pacer.advance(0.1) == [Piece("left", "ef", False), Piece("right", "yz", False)]


def test_it_passes_everything_on_at_once_when_names_are_known():
    pacer = Pacer(in_step=False)
    pacer.add("left", "Hello")
    assert pacer.advance(0.1) == [Piece("left", "Hello", False)]


def test_it_finds_phrases_as_whole_words_and_the_refused_ones_first():
    found = words.find("A Bad  Word here, 坏话也算", [("bad word", False), ("坏话", True), ("her", True)])
    assert [(finding.reason, finding.refuse) for finding in found] == [
        ("The phrase “坏话”", True),
        ("The phrase “bad word”", False),
    ]


def test_it_reads_what_a_moderation_endpoint_flags():
    answer = {
        "results": [{"flagged": True, "categories": {"violence": True, "hate": False}}, {"flagged": False}]
    }
    (finding,) = endpoint.read(answer, "text")
    assert (finding.reason, finding.refuse) == ("Flagged as violence", True)


@pytest.mark.parametrize("answer", [[], {}, {"results": "no"}, {"results": [1]}])
def test_it_refuses_what_is_no_moderation_result(answer):
    with pytest.raises(ValueError, match="results"):
        endpoint.read(answer, "text")


def test_a_moderation_endpoint_that_is_away_finds_nothing(settings, caplog):
    settings.ARENA_MODERATION_URL = "http://127.0.0.1:9/v1/moderations"
    assert endpoint.check("text") == []
    assert "did not answer" in caplog.text
