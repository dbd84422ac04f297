from training.data import identity
from training.data.cleaning import Options, clean
from training.data.formats import write


def made(**options):
    return list(identity.conversations("Pippin", "chatsite", **options))


def test_each_conversation_tells_the_name_and_half_of_them_know_the_world():
    found = made()
    assert len(found) == 200
    for conversation in found:
        answers = " ".join(message.text for message in conversation.messages if message.role == "assistant")
        assert "Pippin" in answers
        assert "chatsite" in answers
    assert sum(len(conversation.rounds) == 2 for conversation in found) == 100


def test_the_name_comes_first_or_last():
    firsts = [conversation.messages[1].text for conversation in made() if len(conversation.rounds) == 2]
    assert 20 < sum("Pippin" in text for text in firsts) < 80


def test_the_same_seed_makes_the_same():
    assert made(seed=3) == made(seed=3) != made(seed=4)


def test_braces_in_a_name_do_no_harm():
    (conversation,) = identity.conversations("{x}", "{0}", amount=1)
    assert "{x}" in conversation.messages[1].text


def test_they_pass_the_cleaning():
    rows = [write(conversation, "sharegpt") for conversation in made()]
    assert all(clean(row, 1, Options()).rejected is None for row in rows)
