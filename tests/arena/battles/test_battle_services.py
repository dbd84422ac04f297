"""A battle from its first message to the opened seal, without sockets."""

import uuid

import pytest
from django.db import transaction
from django.test import Client

from arena import matching, sealing
from arena.errors import (
    AlreadyVoted,
    BattleUnfinished,
    Busy,
    InvalidValue,
    NotEnoughChatModels,
    NotFound,
    TermsNotAccepted,
    UnknownChatModel,
)
from arena.models import Battle, BlockedPhrase, Conversation, ModerationCase, Reply, Terms, Vote, VoteDecision
from arena.selectors import battles as selectors
from arena.selectors import conversations as chat_selectors
from arena.services import battles, conversations, counting, matchmaking, moderation, terms, votes
from chatsite.accounts.models import UsageRecord, User
from chatsite.accounts.selectors import usage
from tests.arena.battles.conftest import NAMES
from tests.factories import make_chat_model, make_user
from tests.fakes import InProcessClient

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("pair")]


def fight(owner: User, client: InProcessClient, text: str = "Count to three.", **values) -> Battle:
    """A battle with both answers."""
    battle = battles.start(owner=owner, text=text, **values).battle
    client.deliver_reports()
    return battle


def vote(owner: User, battle: Battle, choice: str = "left", **values) -> Vote:
    return votes.cast_vote(owner=owner, battle_id=battle.pk, choice=choice, **values)


def side_by_side(owner: User, client: InProcessClient, **values) -> Battle:
    return fight(owner, client, mode="side_by_side", left=NAMES[0], right=NAMES[1], **values)


# --- starting ------------------------------------------------------------------------------------------------


def test_it_gives_both_sides_the_same_message_and_one_answer_each(player, workers_client):
    battle = fight(player, workers_client)
    (turn,) = selectors.turns(battle)
    assert turn.prompt == "Count to three."
    assert (turn.left.text, turn.right.text) == ("One two three.", "One two three.")
    assert turn.comparable
    assert {battle.left_name, battle.right_name} == set(NAMES)
    assert battle.propensity == 1.0


def test_it_seals_the_pair_before_the_first_word(player, workers_client):
    battle = battles.start(owner=player, text="Hello").battle
    assert sealing.holds(
        battle.commitment,
        battle=str(battle.pk),
        left=battle.left_name,
        right=battle.right_name,
        nonce=battle.nonce,
    )
    assert not sealing.holds(
        battle.commitment,
        battle=str(battle.pk),
        left=battle.right_name,
        right=battle.left_name,
        nonce=battle.nonce,
    )
    assert not battle.revealed


def test_it_wants_the_terms_accepted_first_and_again_when_they_change(alice):
    with pytest.raises(TermsNotAccepted):
        battles.start(owner=alice, text="Hello")
    terms.accept(user=alice)
    battles.start(owner=alice, text="Hello")
    Terms.objects.create(text="Be kinder.")
    with pytest.raises(TermsNotAccepted):
        battles.start(owner=alice, text="Hello again")


def test_it_says_so_when_only_one_chat_model_is_alive(player, workers_client):
    workers_client.unhost(NAMES[0])
    with pytest.raises(NotEnoughChatModels, match="two chat models"):
        battles.start(owner=player, text="Hello")
    assert not Battle.objects.exists()


def test_it_draws_no_hidden_chat_model(player, pair):
    pair[0].published = False
    pair[0].save()
    with pytest.raises(NotEnoughChatModels):
        battles.start(owner=player, text="Hello")


@pytest.mark.parametrize("text", ["", " \n"])
def test_it_refuses_an_empty_message(player, text):
    with pytest.raises(InvalidValue) as refusal:
        battles.start(owner=player, text=text)
    assert refusal.value.field == "text"


def test_it_grants_a_wish_that_is_sent_twice_once(player):
    first = battles.start(owner=player, text="Hello", client_id="wish-0001")
    again = battles.start(owner=player, text="Hello", client_id="wish-0001")
    assert first.battle == again.battle
    assert Battle.objects.count() == 1
    assert Reply.objects.count() == 2


def test_it_hides_a_battle_from_everybody_else(player, charlie, workers_client):
    battle = fight(player, workers_client)
    for call in (
        lambda: battles.say(owner=charlie, battle_id=battle.pk, text="Hi"),
        lambda: battles.regenerate(owner=charlie, battle_id=battle.pk),
        lambda: battles.stop(owner=charlie, battle_id=battle.pk),
        lambda: battles.share(owner=charlie, battle_id=battle.pk),
        lambda: votes.cast_vote(owner=charlie, battle_id=battle.pk, choice="left"),
        lambda: moderation.flag(owner=charlie, battle_id=battle.pk, reason="rude"),
        lambda: battles.say(owner=charlie, battle_id=uuid.uuid4(), text="Hi"),
    ):
        with pytest.raises(NotFound):
            call()


# --- going on ------------------------------------------------------------------------------------------------


def test_it_goes_on_with_each_sides_own_answers(player, workers_client):
    battle = fight(player, workers_client)
    assert battles.say(owner=player, battle_id=battle.pk, text="And on?").turn == 2
    workers_client.deliver_reports()
    assert [turn.prompt for turn in selectors.turns(battle)] == ["Count to three.", "And on?"]
    last = workers_client.requests[-1]
    assert [message.role for message in last.messages] == ["user", "assistant", "user"]


def test_it_refuses_a_message_while_one_side_still_writes(player, workers_client):
    workers_client.host_script(NAMES[0], "reply=slow words come&first=5")
    battle = battles.start(owner=player, text="Hello").battle
    with pytest.raises(Busy):
        battles.say(owner=player, battle_id=battle.pk, text="Hi")
    with pytest.raises(BattleUnfinished):
        vote(player, battle)
    battles.stop(owner=player, battle_id=battle.pk)


def test_it_regenerates_both_sides_and_keeps_what_was_shown_first(player, workers_client):
    battle = fight(player, workers_client)
    battles.regenerate(owner=player, battle_id=battle.pk)
    workers_client.deliver_reports()
    (turn,) = selectors.turns(battle)
    assert [len(texts) for texts in turn.all_texts.values()] == [2, 2]


def test_it_refuses_to_regenerate_what_was_voted_on(player, workers_client):
    battle = fight(player, workers_client)
    vote(player, battle)
    with pytest.raises(AlreadyVoted):
        battles.regenerate(owner=player, battle_id=battle.pk)


# --- side by side --------------------------------------------------------------------------------------------


def test_it_uses_the_settings_of_a_named_comparison_on_both_sides(player, workers_client):
    side_by_side(player, workers_client, settings={"temperature": 0.1, "system_prompt": "Be brief."})
    assert [request.sampling.temperature for request in workers_client.requests] == [0.1, 0.1]
    assert {request.messages[0].content for request in workers_client.requests} == {"Be brief."}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"left": "nobody", "right": NAMES[1]}, "left"),
        ({"left": NAMES[0], "right": ""}, "right"),
    ],
)
def test_it_names_the_side_whose_chat_model_does_not_exist(player, values, field):
    with pytest.raises(UnknownChatModel) as refusal:
        battles.start(owner=player, text="Hello", mode="side_by_side", **values)
    assert refusal.value.field == field


def test_it_names_the_setting_that_is_out_of_bounds(player):
    with pytest.raises(InvalidValue) as refusal:
        battles.start(
            owner=player,
            text="Hello",
            mode="side_by_side",
            left=NAMES[0],
            right=NAMES[1],
            settings={"temperature": 3.0},
        )
    assert refusal.value.field == "settings.temperature"
    assert not Battle.objects.exists()


def test_it_keeps_a_vote_on_names_but_never_counts_it(player, workers_client):
    cast = vote(player, side_by_side(player, workers_client))
    assert (cast.counted, cast.exclusion) == (False, "named")
    with pytest.raises(InvalidValue):
        votes.let_in(vote=cast, operator=player)


# --- what gives nothing away ---------------------------------------------------------------------------------


def test_it_keeps_the_sides_out_of_everything_the_chat_pages_read(player, workers_client):
    battle = fight(player, workers_client, client_id="wish-0002")
    side = Conversation.objects.get(battle=battle, side="left")
    message = side.messages.get()
    assert chat_selectors.sidebar(player) == []
    with pytest.raises(NotFound):
        chat_selectors.owned_conversation(owner=player, conversation_id=side.pk)
    with pytest.raises(NotFound):
        chat_selectors.owned_message(owner=player, message_id=message.pk)
    with pytest.raises(NotFound):
        chat_selectors.owned_reply(owner=player, reply_id=message.replies.get().pk)


def test_it_does_not_hand_a_sealed_answer_to_the_chat_page_for_its_client_id(player, workers_client, parrot):
    fight(player, workers_client, client_id="wish-0003")
    reply = conversations.send_message(
        owner=player, text="Hi", chat_model_name="parrot", client_id="wish-0003"
    )
    assert reply.chat_model_name == "parrot"


def test_it_names_the_chat_models_on_the_usage_page_only_after_the_vote(player, workers_client):
    battle = fight(player, workers_client)
    assert {row.chat_model for row in usage.per_day(user=player)} == {"sealed"}
    client = Client()
    client.force_login(player)
    # In the table of the days and in that of the chat models.
    assert client.get("/settings/usage/").text.count("sealed until the vote") == 2
    vote(player, battle)
    assert "sealed until the vote" not in client.get("/settings/usage/").text
    assert {row.chat_model for row in usage.per_day(user=player)} == set(NAMES)
    assert UsageRecord.objects.count() == 2


# --- voting --------------------------------------------------------------------------------------------------


def test_it_counts_an_honest_vote_and_opens_the_seal(player, workers_client):
    battle = fight(player, workers_client)
    cast = vote(player, battle, "right", reasons=["correct", "clear"], address="192.0.2.7")
    assert (cast.counted, cast.exclusion, cast.weight, cast.turn) == (True, "", 1.0, 1)
    assert "192.0.2.7" not in cast.address_hash
    battle.refresh_from_db()
    assert battle.revealed
    assert [outcome.choice for outcome in selectors.outcomes()] == ["right"]


def test_it_takes_one_vote_only(player, workers_client):
    battle = fight(player, workers_client)
    vote(player, battle, "left")
    with pytest.raises(AlreadyVoted):
        vote(player, battle, "right")
    assert Vote.objects.get().choice == "left"


@pytest.mark.parametrize(
    ("values", "field"),
    [({"choice": "me"}, "choice"), ({"choice": "tie", "reasons": ["because"]}, "reasons")],
)
def test_it_names_what_is_wrong_with_a_vote(player, workers_client, values, field):
    battle = fight(player, workers_client)
    with pytest.raises(InvalidValue) as refusal:
        votes.cast_vote(owner=player, battle_id=battle.pk, **values)
    assert refusal.value.field == field
    battle.refresh_from_db()
    assert not battle.revealed


def test_it_cannot_be_voted_on_when_a_side_has_failed(player, workers_client):
    workers_client.host_script(NAMES[0], "reply=a b c&fail_after=1")
    battle = fight(player, workers_client)
    with pytest.raises(BattleUnfinished):
        vote(player, battle)


@pytest.mark.parametrize("answer", ["I am Quokka, hi.", "As ChatGPT I cannot.", "made by hugging face"])
def test_it_keeps_but_does_not_count_a_vote_when_an_answer_says_who_it_is(player, workers_client, answer):
    workers_client.host_script(NAMES[1], f"reply={answer}")
    cast = vote(player, fight(player, workers_client))
    assert (cast.counted, cast.exclusion) == (False, "identity")
    (word,) = cast.evidence["words"]
    assert word["word"].casefold() in answer.casefold()
    assert list(VoteDecision.objects.values_list("exclusion", flat=True)) == ["identity"]


def test_it_counts_a_vote_when_only_the_question_names_a_chat_model(player, workers_client):
    assert vote(player, fight(player, workers_client, "Are you ChatGPT or quokka-13b?")).counted


def test_it_finds_the_name_in_an_answer_that_was_regenerated_away(player, workers_client):
    workers_client.host_script(NAMES[1], "reply=I am Quokka.")
    battle = fight(player, workers_client)
    workers_client.host_script(NAMES[1], "reply=Nobody.")
    battles.regenerate(owner=player, battle_id=battle.pk)
    workers_client.deliver_reports()
    assert vote(player, battle).exclusion == "identity"


def test_it_counts_the_same_prompt_and_pair_of_one_person_once(player, workers_client):
    assert vote(player, fight(player, workers_client, "Hello there")).counted
    again = vote(player, fight(player, workers_client, " hello  THERE"))
    assert (again.counted, again.exclusion) == (False, "repeated")
    assert vote(player, fight(player, workers_client, "Something else")).counted


def test_it_leaves_out_what_one_person_casts_beyond_the_limit(player, workers_client, settings):
    settings.ARENA_VOTES_PER_USER = 1
    assert vote(player, fight(player, workers_client, "One")).counted
    assert vote(player, fight(player, workers_client, "Two")).exclusion == "user_limit"


def test_it_counts_addresses_over_all_accounts_and_ipv6_by_network(player, workers_client, settings):
    settings.ARENA_VOTES_PER_ADDRESS = 1
    other = make_user("mallory")
    terms.accept(user=other)
    assert vote(player, fight(player, workers_client, "One"), address="2001:db8::1").counted
    cast = vote(other, fight(other, workers_client, "Two"), address="2001:db8::2")
    assert cast.exclusion == "address_limit"
    assert vote(other, fight(other, workers_client, "Three"), address="2001:db8:1::2").counted


def test_it_weighs_a_prompt_less_the_more_often_it_was_voted_on(player, workers_client, monkeypatch):
    monkeypatch.setattr(votes, "PROMPTS_AT_FULL_WEIGHT", 1)
    assert vote(player, fight(player, workers_client, "Hi")).weight == 1.0
    other = make_user("bertha")
    terms.accept(user=other)
    assert vote(other, fight(other, workers_client, "hi")).weight == 0.5


def test_it_can_take_an_exclusion_back_and_remembers_both(player, bob, workers_client):
    cast = vote(player, fight(player, workers_client))
    votes.leave_out(vote=cast, exclusion=Vote.Exclusion.MANUAL, operator=bob, note="looks bought")
    assert list(selectors.outcomes()) == []
    votes.let_in(vote=cast, operator=bob, note="was not")
    assert len(list(selectors.outcomes())) == 1
    decisions = VoteDecision.objects.values_list("counted", "note", "decided_by")
    assert list(decisions) == [(False, "looks bought", bob.pk), (True, "was not", bob.pk)]


def test_it_tells_the_counters_of_each_change_within_the_transaction(player, workers_client, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "arena.services.counting.vote_changed",
        lambda changed: seen.append((changed.counted, transaction.get_connection().in_atomic_block)),
    )
    cast = vote(player, fight(player, workers_client))
    votes.leave_out(vote=cast, exclusion=Vote.Exclusion.MANUAL, operator=None)
    votes.leave_out(vote=cast, exclusion=Vote.Exclusion.MANUAL, operator=None)
    votes.let_in(vote=cast, operator=None)
    assert seen == [(True, True), (False, True), (True, True)]


def test_it_labels_a_battle_that_was_voted_on_for_the_slices_of_the_board(player, workers_client):
    battle = fight(player, workers_client, "Write a Python function that adds two numbers, please.")
    vote(player, battle)
    battle.refresh_from_db()
    assert battle.language == "en"
    assert "coding" in battle.categories


def test_it_leaves_out_who_always_contradicts_everybody_and_nobody_else(player):
    def cast(voter: str, choice: str, amount: int) -> None:
        for _ in range(amount):
            battle = Battle.objects.create(left_name=NAMES[0], right_name=NAMES[1])
            Vote.objects.create(battle=battle, choice=choice, voter_key=voter)

    for number in range(20):
        cast(f"honest {number}", "left", 6)
    cast("contrary", "right", 40)
    assert votes.exclude_outliers() == 40
    left_out = Vote.objects.filter(counted=False)
    assert set(left_out.values_list("voter_key", "exclusion")) == {("contrary", "outlier")}
    assert all(evidence["e_value"] > 100 for evidence in left_out.values_list("evidence", flat=True))
    assert votes.exclude_outliers() == 0


def test_the_active_sampler_prefers_the_pair_that_nobody_knows(player, workers_client, settings):
    settings.ARENA_SAMPLER = "active"
    workers_client.host_script("newcomer-1b", "reply=Hi.")
    make_chat_model("newcomer-1b")
    for number in range(12):
        battle = Battle.objects.create(left_name=NAMES[0], right_name=NAMES[1])
        cast = Vote.objects.create(battle=battle, choice=("left", "right")[number % 2])
        counting.vote_changed(cast)
    chances = matchmaking.probabilities()
    assert sum(chances.values()) == pytest.approx(1)
    known = chances[matching.pair(*NAMES)]
    assert all(known < chance for pair, chance in chances.items() if "newcomer-1b" in pair)
    assert known > 0


# --- sharing and moderation ----------------------------------------------------------------------------------


def test_it_shares_a_battle_only_once_its_names_are_known(player, workers_client):
    battle = fight(player, workers_client)
    with pytest.raises(InvalidValue):
        battles.share(owner=player, battle_id=battle.pk)
    vote(player, battle)
    key = battles.share(owner=player, battle_id=battle.pk).share_key
    assert selectors.shared_battle(key) == battle
    assert battles.share(owner=player, battle_id=battle.pk).share_key == key
    battles.unshare(owner=player, battle_id=battle.pk)
    assert selectors.shared_battle(key) is None
    assert selectors.shared_battle("") is None


def test_it_refuses_a_message_with_a_forbidden_phrase_and_keeps_the_case(player):
    BlockedPhrase.objects.create(phrase="evil plan", action="refuse")
    with pytest.raises(InvalidValue) as refusal:
        battles.start(owner=player, text="Tell me your EVIL  plan!")
    assert refusal.value.field == "text"
    case = ModerationCase.objects.get()
    assert (case.origin, case.battle, case.reported_by) == ("prompt", None, player)
    battles.start(owner=player, text="Tell me an evil planet's name.")


def test_it_looks_at_the_answers_of_both_sides(player, workers_client):
    BlockedPhrase.objects.create(phrase="two")
    fight(player, workers_client)
    assert sorted(ModerationCase.objects.values_list("side", flat=True)) == ["left", "right"]


def test_it_leaves_a_vote_out_when_an_answer_held_a_forbidden_phrase(player, workers_client):
    BlockedPhrase.objects.create(phrase="two", action="refuse")
    cast = vote(player, fight(player, workers_client))
    assert (cast.counted, cast.exclusion) == (False, "moderation")


def test_it_keeps_one_open_case_per_person_and_battle_and_an_upheld_one_takes_the_vote_out(
    player, bob, workers_client
):
    battle = fight(player, workers_client)
    vote(player, battle)
    moderation.flag(owner=player, battle_id=battle.pk, reason="rude")
    case = moderation.flag(owner=player, battle_id=battle.pk, reason="very rude")
    assert ModerationCase.objects.count() == 1
    moderation.decide(case=case, operator=bob, upheld=True)
    assert Vote.objects.get().exclusion == "moderation"
    assert ModerationCase.objects.get().status == "upheld"
