import itertools

import pytest

from workers.engines.stopping import StopStrings


def naive(pieces, stops):
    """All over from the beginning for each piece: the text before the first stop string, and whether there was one."""
    whole = ""
    for piece in pieces:
        whole += piece
        places = [whole.find(stop) for stop in stops if stop in whole]
        if places:
            return whole[: min(places)], True
    return whole, False


def streamed(pieces, stops):
    """What the reader sees, and each state of it in between."""
    filter_, seen, states = StopStrings(stops), "", []
    for piece in pieces:
        text, met = filter_.feed(piece)
        seen += text
        states.append(seen)
        if met:
            return seen, True, states
    return seen + filter_.rest(), False, states


def cuts(text):
    """Every way to cut `text` into pieces."""
    for places in itertools.product((False, True), repeat=max(0, len(text) - 1)):
        pieces, piece = [], text[:1]
        for cut, letter in zip(places, text[1:], strict=False):
            if cut:
                pieces.append(piece)
                piece = ""
            piece += letter
        yield [*pieces, piece]


STOPS = [*itertools.product(("a", "b", "ab", "ba", "aa", "aab", "aba", "abb", "bab"), repeat=2), ()]


@pytest.mark.parametrize("length", range(6))
def test_it_does_what_searching_the_whole_text_would(length):
    for letters in itertools.product("ab", repeat=length):
        for pieces in cuts("".join(letters)):
            for stops in STOPS:
                text, met, states = streamed(pieces, stops)
                assert (text, met) == naive(pieces, stops), (pieces, stops)
                assert all(text.startswith(state) for state in states), (pieces, stops, "took text back")


def test_it_lets_text_without_stop_strings_through_at_once():
    stops = StopStrings(())
    assert stops.feed("anything") == ("anything", False)
    assert stops.rest() == ""


def test_it_holds_back_only_what_may_begin_a_stop_string():
    stops = StopStrings(("END",))
    assert stops.feed("the E") == ("the ", False)
    assert stops.feed("N") == ("", False)
    assert stops.feed("T") == ("ENT", False)
    assert stops.feed("EN") == ("", False)
    assert stops.rest() == "EN"
    assert stops.rest() == ""


def test_it_drops_what_follows_a_stop_string_in_the_same_piece():
    assert StopStrings(("\n\n",)).feed("one\n\ntwo\n\nthree") == ("one", True)


def test_it_ignores_an_empty_stop_string():
    assert StopStrings(("",)).feed("text") == ("text", False)
    assert StopStrings(("", "x")).feed("text") == ("te", True)


def test_it_knows_characters_outside_of_the_basic_plane():
    stops = StopStrings(("😀日",))
    assert stops.feed("hi 😀") == ("hi ", False)
    assert stops.feed("日!") == ("", True)


def test_it_names_the_requests_own_string_that_was_met():
    stops = StopStrings(("END", "ENDED"), ("<|im_end|>",))
    stops.feed("the E")
    assert stops.met == ""
    stops.feed("NDED.")
    assert stops.met == "ENDED"


def test_it_keeps_the_chat_models_own_strings_to_itself():
    stops = StopStrings(("END",), ("<|im_end|>",))
    assert stops.feed("the <|im_end|> END") == ("the ", True)
    assert stops.met == ""
