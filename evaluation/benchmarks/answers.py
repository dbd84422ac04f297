"""Does answering a suite keep an engine as busy as it can be?

The run's tokens a second, beside those of the same calls thrown at the same engine all at once: no database, no order
of turns, nothing to wait for. That is the best the engine does on these texts. The two take turns (machines are noisy),
and the median of the ratios counts.
"""

import statistics
import time
from collections.abc import Callable, Iterator

from evaluation.calls import Call, CatalogCaller, Pool
from evaluation.models import EvaluationRun
from evaluation.selectors import runs as selectors
from evaluation.services import plans, runner, runs
from workers import client
from workers.models import ChatModel
from workers.protocol import ChatMessage, Sampling

TARGET = 0.9
ROUNDS = 3
TIMEOUT = 600.0


def measure(*, questions: int, tokens: int, say: Callable[[str], None], rounds: int = ROUNDS) -> bool:
    """On the default chat model of the running stack. Whether the target holds."""
    chat_model = ChatModel.objects.filter(hosted_here=True).first() or ChatModel.objects.all()[0]
    slots = client.slots(chat_model.name)
    say(f"{chat_model.name} ({slots} slots), {questions} questions, {tokens} new tokens at most a turn")
    _all_at_once(chat_model, [_call(chat_model, ["Say hello."], [], 16)] * slots)  # warm
    ratios = []
    for _ in range(rounds):
        run, seconds = _run(chat_model.name, questions, tokens)
        made = sum(run.answers.values_list("completion_tokens", flat=True))
        best_made, best_seconds = _all_at_once(chat_model, list(_calls(chat_model, run, tokens)))
        reached, best = made / seconds, best_made / best_seconds
        ratios.append(reached / best)
        say(f"{reached:>8.1f} tokens/s  evaluate run ({made} tokens, {seconds:.1f} s)")
        say(f"{best:>8.1f} tokens/s  the same calls all at once ({best_made} tokens, {best_seconds:.1f} s)")
    ratio = statistics.median(ratios)
    say(f"{ratio:>8.2f} of the engine's own best (median of {rounds}); wanted is {TARGET} or more")
    return ratio >= TARGET


def _run(name: str, questions: int, tokens: int) -> tuple[EvaluationRun, float]:
    parameters = {"limit": questions, "max_tokens": tokens, "foreground": True}
    run = runs.create(plan=plans.plan(suite="dialogue", chat_models=[name], parameters=parameters))
    began = time.monotonic()
    runner.execute(run_id=run.pk)
    return run, time.monotonic() - began


def _calls(chat_model: ChatModel, run: EvaluationRun, tokens: int) -> Iterator[Call]:
    """The calls that the run has made, each with the conversation that it had."""
    questions = {str(question.id): question for question in selectors.questions(run=run)}
    for answer in run.answers.all():
        turns = questions[answer.question_id].turns
        for number in range(len(answer.turns)):
            yield _call(chat_model, turns[: number + 1], answer.turns[:number], tokens)


def _call(chat_model: ChatModel, asked: list[str] | tuple[str, ...], said: list[str], tokens: int) -> Call:
    messages = [ChatMessage("system", chat_model.system_prompt)] if chat_model.system_prompt else []
    for number, text in enumerate(asked):
        messages.append(ChatMessage("user", text))
        if number < len(said):
            messages.append(ChatMessage("assistant", said[number]))
    return Call(tuple(messages), Sampling(temperature=0.7, top_p=chat_model.top_p, max_tokens=tokens))


def _all_at_once(chat_model: ChatModel, calls: list[Call]) -> tuple[int, float]:
    """(tokens made, seconds)."""
    began = time.monotonic()
    made = 0
    with Pool[int]() as pool:
        caller = CatalogCaller(chat_model.name, timeout=TIMEOUT)
        for number, call in enumerate(calls):
            pool.start(number, caller, call)
        while pool.running:
            outcome = pool.next(1.0)
            made += outcome.completion.completion_tokens if outcome and outcome.completion else 0
        seconds = time.monotonic() - began
    return made, seconds
