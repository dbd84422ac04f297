"""The steps one by one, and `clean`, which runs them in order."""

import pytest

from tests.training.rows import numbered, sharegpt
from training.data import drawing, duplicates, formats, personal, splitting
from training.data.cleaning import Options, clean
from training.data.records import BadRow, Conversation, Message
from training.data.statistics import Statistics, histogram


def cleaned(row, **options):
    return clean(row, 1, Options(**options))


def texts(row, **options):
    result = cleaned(row, **options)
    assert result.rejected is None, result.rejected
    return [message.text for message in result.records[0].messages]


def reason(row, **options):
    rejected = cleaned(row, **options).rejected
    assert rejected is not None
    return rejected.reason


QUESTION, ANSWER = "How do I boil an egg?", "Eight minutes in hot water."


def test_it_cuts_off_an_answer_before_the_first_question_and_a_question_without_answer():
    row = {
        "id": "x",
        "conversations": [
            {"from": "gpt", "value": "Welcome"},
            *sharegpt(QUESTION, ANSWER, "Thanks")["conversations"],
        ],
    }
    assert texts(row) == [QUESTION, ANSWER]
    assert cleaned(row).changes["trimmed"] == 1


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (sharegpt(), "too_short"),
        (sharegpt(QUESTION), "too_short"),
        (sharegpt("Hi", "Hello"), "too_short"),
        (sharegpt("", ANSWER), "too_short"),
        (
            {"conversations": [{"from": "human", "value": "a"}] * 2 + [{"from": "gpt", "value": "b"}]},
            "wrong_order",
        ),
        (sharegpt(QUESTION, ANSWER, plugins=["x"]), "plugin"),
        (sharegpt(QUESTION, "So:\n1. a\n1. b"), "wrong_list"),
        (sharegpt("<p>" * 1000 + "</p>", ANSWER), "bad_markup"),
        ({"conversations": None, "id": "x"}, "unknown_format"),
    ],
)
def test_it_drops_what_has_no_shape(row, expected):
    assert reason(row) == expected


def test_it_ends_a_conversation_in_front_of_an_empty_answer():
    assert texts(sharegpt(QUESTION, ANSWER, "And two?", "", "Well?", "Yes")) == [QUESTION, ANSWER]


def test_it_lets_tools_speak_between_the_assistants_messages():
    calls = [{"type": "function", "function": {"name": "boil", "arguments": "{}"}}]
    row = {
        "messages": [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "content": "boiled"},
            {"role": "assistant", "content": ANSWER},
        ]
    }
    assert texts(row) == [QUESTION, "", "boiled", ANSWER]


def test_it_drops_blocked_words_whatever_their_case():
    row = sharegpt(QUESTION, "As ChatGPT I cannot boil.")
    assert reason(row, blocked_words=("openai", "chatgpt")) == "blocked_word"
    assert cleaned(row).rejected is None


def test_it_keeps_and_skips_languages():
    def detect(text):
        return "de" if " Ei" in text else ""

    german = sharegpt("Wie koche ich ein Ei?", "Acht Minuten in Wasser.")
    english = sharegpt(QUESTION, ANSWER)
    assert cleaned(german, detect_language=detect, keep_languages=("de",)).records
    assert reason(german, detect_language=detect, skip_languages=("de",)) == "language"
    assert reason(english, detect_language=detect, keep_languages=("de",)) == "language"
    assert cleaned(english, detect_language=detect, skip_languages=("de",)).records


def test_repeated_digits_are_dropped_on_demand():
    row = sharegpt(QUESTION, "Call 0000000000 for eggs.")
    assert cleaned(row).records
    assert reason(row, drop_repeated_digits=True) == "repeated_digits"


def test_moderation_says_why():
    row = sharegpt(QUESTION, ANSWER)
    result = cleaned(row, moderate=lambda text: "Eggs are not for here." if "egg" in text else "")
    assert result.rejected == ("one", "moderation", "Eggs are not for here.")


def test_it_hides_personal_data_or_drops_it():
    row = sharegpt("I am ann@example.org, call +49 30 1234567.", "Hello Ann, I will.")
    assert texts(row, personal_data="hide")[0] == "I am [EMAIL], call [PHONE]."
    assert reason(row, personal_data="drop") == "personal_data"


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("card 4111 1111 1111 1111", ["card"]),
        (
            "card 4111 1111 1111 1112",
            [],
        ),  # a wrong checksum is a number like any other, but 16 digits may be a phone's
        ("DE89 3704 0044 0532 0130 00", ["iban"]),
        ("at 192.168.7.21", ["address"]),
        ("key sk-abcdefghijklmnopqrstuv", ["key"]),
        ("in 1999 it cost 12.50 and 3.141592", []),
    ],
)
def test_it_tells_personal_data_by_its_shape_and_checksum(text, kinds):
    found = [place.kind for place in personal.find(text) if place.kind != "phone"]
    assert found == kinds


def test_bad_rows_never_raise():
    rows: tuple[object, ...] = (
        None,
        3,
        [],
        {},
        {"conversations": [None]},
        {"messages": [{"role": []}]},
        {"id": [], "messages": []},
    )
    for row in rows:
        assert cleaned(row).rejected is not None


# --- duplicates


def seen_reason(seen, row, *, near=False):
    record = formats.read(row, number=1)
    value, sign = duplicates.fingerprint(record, near=near)
    found = seen.reason(record.id, [value], sign)
    return found and found[0]


def test_the_first_of_two_that_are_the_same_stays():
    seen = duplicates.Seen()
    assert seen_reason(seen, sharegpt(QUESTION, ANSWER, id="a")) is None
    assert seen_reason(seen, sharegpt("Something else?", ANSWER, id="a")) == "duplicate_id"
    assert seen_reason(seen, sharegpt(QUESTION.upper(), f" {ANSWER}", "More?", "No.", id="b")) == "duplicate"
    assert seen_reason(seen, sharegpt("Something else?", ANSWER, id="c")) is None


def test_near_duplicates_are_found_and_others_are_not():
    words = [f"word{number}" for number in range(200)]
    long = " ".join(words)
    changed = " ".join([*words[:198], "quite", "different"])
    other = " ".join(f"term{number}" for number in range(200))
    seen = duplicates.Seen(near=0.8)
    assert seen_reason(seen, sharegpt("Say it.", long, id="a"), near=True) is None
    assert seen_reason(seen, sharegpt("Say it.", changed, id="b"), near=True) == "near_duplicate"
    assert seen_reason(seen, sharegpt("Say it.", other, id="c"), near=True) is None


def test_the_estimate_of_likeness_is_near_the_truth():
    words = [f"w{number}" for number in range(1004)]  # 1000 shingles
    other = [*words[:504], *(f"v{number}" for number in range(500))]  # 500 of them shared: 500 / 1500
    one, two = duplicates.signature(" ".join(words)), duplicates.signature(" ".join(other))
    assert one is not None
    assert two is not None
    # Within four standard errors of 64 draws.
    assert abs(duplicates.likeness(one, two) - 1 / 3) < 4 * (1 / 3 * 2 / 3 / 64) ** 0.5


def test_a_text_without_words_has_no_likeness():
    assert duplicates.signature(" \n") is None


# --- splitting


def words_of(messages):
    return sum(len(message.text.split()) for message in messages)


def conversation(*lengths, system=0):
    head = [Message("system", "s " * system)] if system else []
    body = [
        Message(role, f"{role[0]}{index} " * length)
        for index, length in enumerate(lengths)
        for role in ("user", "assistant")
    ]
    return Conversation("c", tuple(head + body))


def test_what_fits_is_not_split():
    short = conversation(5, 5)
    assert splitting.split(short, words_of, 20) == [short]


def test_no_round_is_lost_where_fastchats_split_loses_the_last():
    pieces = splitting.split(conversation(36, 36), words_of, 100)
    assert [piece.id for piece in pieces] == ["c_0", "c_2"]
    assert [len(piece.messages) for piece in pieces] == [2, 2]


@pytest.mark.parametrize("most", [10, 23, 24, 25, 60, 100])
def test_the_pieces_are_the_conversation_and_fit(most):
    whole = conversation(2, 9, 1, 30, 3, 3, 3, 12, system=4)
    pieces = splitting.split(whole, words_of, most)
    again = [message for piece in pieces for message in piece.messages if message.role != "system"]
    assert again == list(whole.messages[1:])
    for piece in pieces:
        assert piece.messages[0] == whole.messages[0]
        fits = words_of(piece.messages) <= most
        assert fits != (splitting.TOO_LONG in piece.extra)
        assert fits or len(piece.rounds) == 1


def test_pieces_are_as_long_as_they_can_be():
    pieces = splitting.split(conversation(*[5] * 10), words_of, 35)
    assert [len(piece.rounds) for piece in pieces] == [3, 3, 3, 1]


# --- drawing


def records(amount):
    return [formats.read(row, number=1) for row in numbered(amount)]


def test_the_parts_do_not_depend_on_the_order():
    some = records(400)
    validation = {record.id for record in some if drawing.is_validation(record, 0.1, 0)}
    assert validation == {record.id for record in reversed(some) if drawing.is_validation(record, 0.1, 0)}
    assert 20 <= len(validation) <= 60  # 40 ± 3.3 standard deviations
    assert validation != {record.id for record in some if drawing.is_validation(record, 0.1, 1)}


def test_pieces_of_one_conversation_stay_together():
    pieces = splitting.split(conversation(*[5] * 30), words_of, 20)
    assert len({drawing.is_validation(piece, 0.5, 0) for piece in pieces}) == 1
    assert len({drawing.place(piece, 0) for piece in pieces}) == 1


def test_a_sample_is_even_in_order_and_repeatable():
    drawn = drawing.sample(range(1000), 100, seed=1)
    assert drawn == drawing.sample(range(1000), 100, seed=1)
    assert drawn == sorted(drawn)
    assert len(set(drawn)) == 100
    counts = [0] * 10
    for seed in range(300):
        for item in drawing.sample(range(10), 3, seed):
            counts[item] += 1
    assert all(50 < count < 130 for count in counts)  # 90 ± 5 standard deviations
    assert drawing.sample(range(3), 10, seed=1) == [0, 1, 2]


def test_shuffling_loses_nothing():
    mixed = list(drawing.shuffled(iter(range(100)), 10, seed=3))
    assert sorted(mixed) == list(range(100))
    assert mixed != list(range(100))


# --- statistics


def test_it_counts():
    statistics = Statistics(detect_language=lambda text: "en")
    for record in records(3):
        statistics.add(record)
    told = statistics.as_dict()
    assert told["conversations"] == 3
    assert told["roles"] == {"user": 3, "assistant": 3}
    assert told["rounds"]["mean"] == 1
    assert told["languages"] == {"en": 3}
    assert told["total"] == sum(len(record.text) - 1 for record in records(3))


def test_the_bars_hold_everything():
    bars = histogram([0, 63, 64, 40_000, 10**9])
    assert sum(bar.amount for bar in bars) == 5
    assert (bars[0].label, bars[0].amount) == ("0–63", 2)
    assert bars[-1].amount == 2


def test_a_record_that_cannot_be_counted_is_a_bad_row():
    def refuse(messages):
        raise BadRow("template", "no thanks")

    assert reason(sharegpt(QUESTION, ANSWER), count_tokens=refuse, max_tokens=5) == "template"
