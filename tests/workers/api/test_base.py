"""The view beneath all endpoints, and the threads it works in."""

import asyncio
import threading
from contextvars import ContextVar

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpResponse
from django.test import AsyncRequestFactory, Client, RequestFactory

from tests.workers.support import PATIENCE
from workers.api import threads
from workers.api.base import ApiView
from workers.api.errors import NotFound
from workers.api.middleware import api


class Waiting:
    """A `Pending` that remembers what became of it."""

    def __init__(self) -> None:
        self.abandoned_in: list[str] = []
        self.responded = False

    async def respond(self) -> HttpResponse:
        self.responded = True
        return HttpResponse("done")

    def abandon(self) -> None:
        self.abandoned_in.append(threading.current_thread().name)


def view_of(handler):
    class View(ApiView):
        authentication_classes = ()
        permission_classes = ()

        def post(self, request):
            return handler(request)

    return View.as_view()


async def call(handler):
    return await view_of(handler)(AsyncRequestFactory().post("/"))


async def test_a_handler_runs_in_a_thread_of_the_apis_own():
    response = await call(lambda request: HttpResponse(threading.current_thread().name))

    assert response.content.startswith(b"api")


async def test_a_pending_answer_is_awaited_on_the_event_loop():
    waiting = Waiting()

    response = await call(lambda request: waiting)

    assert response.content == b"done"
    assert waiting.abandoned_in == []


@pytest.mark.parametrize("where", ["handler", "respond"])
async def test_an_error_becomes_a_response_wherever_it_is_raised(where):
    class Failing(Waiting):
        async def respond(self):
            raise NotFound("It is not there.")

    def fail(request):
        raise NotFound("It is not there.")

    response = await call(fail if where == "handler" else lambda request: Failing())

    assert response.status_code == 404


async def test_a_client_that_leaves_while_the_handler_runs_has_its_work_taken_back():
    waiting, running, may_end = Waiting(), threading.Event(), threading.Event()

    def handler(request):
        running.set()
        may_end.wait(PATIENCE)
        return waiting

    task = asyncio.create_task(call(handler))
    await asyncio.to_thread(running.wait, PATIENCE)
    task.cancel()
    await asyncio.sleep(0.02)
    assert waiting.abandoned_in == [], "it was taken back before it was there"
    may_end.set()
    await asyncio.wait([task])

    assert task.cancelled()
    assert not waiting.responded
    assert len(waiting.abandoned_in) == 1
    assert waiting.abandoned_in[0].startswith("api")


async def test_a_handler_that_fails_after_its_client_left_is_nobodys_problem(caplog):
    running, may_end = threading.Event(), threading.Event()

    def handler(request):
        running.set()
        may_end.wait(PATIENCE)
        raise NotFound("It is not there.")

    task = asyncio.create_task(call(handler))
    await asyncio.to_thread(running.wait, PATIENCE)
    task.cancel()
    await asyncio.sleep(0.01)
    may_end.set()
    await asyncio.wait([task])

    assert task.cancelled()
    assert caplog.text == ""


async def test_waiting_answers_hold_no_thread():
    """More of them than there are threads wait at once."""

    everybody = asyncio.Barrier(40)

    class Slow(Waiting):
        async def respond(self):
            await everybody.wait()
            return HttpResponse("done")

    async with asyncio.timeout(PATIENCE):
        responses = await asyncio.gather(*[call(lambda request: Slow()) for _ in range(40)])

    assert {response.content for response in responses} == {b"done"}


async def test_the_thread_of_a_caller_that_waits_is_used_instead():
    def where() -> str:
        return threading.current_thread().name

    with threads.for_caller(waits=True):
        assert not (await threads.run(where)).startswith("api")
    assert (await threads.run(where)).startswith("api")


def test_a_waiting_caller_is_forgotten_with_its_request(db):
    Client().get("/v1/nowhere")

    assert async_to_sync(threads.run)(lambda: threading.current_thread().name).startswith("api")


async def test_a_thread_sees_the_context_of_its_caller():
    variable: ContextVar[str] = ContextVar("variable")
    variable.set("seen")

    assert await threads.run(variable.get) == "seen"


def test_other_pages_are_passed_on_untouched():
    passed = []

    def get_response(request):
        passed.append(request.path)
        return HttpResponse("page")

    middleware = api(get_response)

    for path in ("/", "/v1.html", "/v10/models", "/chat/v1/models", "/admin/"):
        response = middleware(RequestFactory().get(path))
        assert response.content == b"page"
        assert "x-request-id" not in response
    assert len(passed) == 5


async def test_other_pages_are_passed_on_untouched_by_async_servers():
    async def get_response(request):
        return HttpResponse("page")

    response = await api(get_response)(AsyncRequestFactory().get("/chat/"))

    assert response.content == b"page"
