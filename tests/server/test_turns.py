"""Turns: so many at once, one client after another, and what becomes of who cannot wait."""

import asyncio
import gc
import threading
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.asked import Asked
from server.errors import RequestError
from server.turns import Turns
from storage.errors import IndexPanic, QueryTimeout
from storage.stop import Stop


class Gate:
    """Work that goes on until it is let go, and tells in which order it began."""

    def __init__(self):
        self.begun = []
        self.go = threading.Event()

    def work(self, name):
        def run():
            self.begun.append(name)
            assert self.go.wait(10)
            return name

        return run


async def outcomes(tasks):
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [one.code if isinstance(one, RequestError) else one for one in found]


def serve(arrivals, *, threads=1, queue_max=100):
    """What becomes of queries that arrive, by client, while the first ones still run; and in which order they began."""

    async def run():
        turns, gate = Turns(threads, queue_max, 10.0), Gate()
        tasks = []
        for place, client in enumerate(arrivals):
            tasks.append(asyncio.create_task(turns.run(client, gate.work((client, place)))))
            await asyncio.sleep(0)
        gate.go.set()
        found = await outcomes(tasks)
        turns.close()
        assert turns._free == threads
        assert turns._waiting == 0
        assert not turns._lines
        return found, gate.begun

    return asyncio.run(run())


def test_clients_take_turns():
    _, begun = serve(["a"] * 5 + ["b"] * 2 + ["c"])
    assert [client for client, _ in begun] == ["a", "a", "b", "c", "a", "b", "a", "a"]


def test_who_fills_the_queue_makes_room_for_others_and_not_for_himself():
    found, begun = serve(["a"] * 5 + ["b"] * 3, queue_max=4)
    # One of a runs and four wait; two of b take the places of the last two of a, the third finds no longer line.
    assert found == [("a", 0), ("a", 1), ("a", 2), "too-busy", "too-busy", ("b", 5), ("b", 6), "too-busy"]
    assert [client for client, _ in begun] == ["a", "a", "b", "a", "b"]


def test_without_a_queue_only_what_runs_is_taken():
    found, _ = serve(["a", "a", "b"], threads=2, queue_max=0)
    assert found == [("a", 0), ("a", 1), "too-busy"]


@settings(max_examples=100)
@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(1, 3), st.integers(0, 6))
def test_everybody_gets_an_answer_or_is_told(arrivals, threads, queue_max):
    found, begun = serve(arrivals, threads=threads, queue_max=queue_max)
    answered = [one for one in found if one != "too-busy"]
    assert sorted(begun, key=str) == sorted(answered, key=str)
    assert len(answered) == min(len(arrivals), threads + queue_max)
    order = [place for client, place in begun if client == "a"]
    if threads == 1:
        assert order == sorted(order)


def test_no_turn_comes_in_time():
    async def run():
        turns, gate = Turns(1, 10, 0.05), Gate()
        first = asyncio.create_task(turns.run("a", gate.work(1)))
        await asyncio.sleep(0)
        with pytest.raises(RequestError, match=r"no turn came within 0\.05 s") as caught:
            await turns.run("a", gate.work(2))
        gate.go.set()
        assert (caught.value.status, await first, gate.begun) == (503, 1, [1])
        turns.close()

    asyncio.run(run())


def test_the_answer_comes_when_time_is_up_even_if_the_work_goes_on():
    async def run():
        turns, gate, asked = Turns(1, 10, 10.0), Gate(), Asked()
        asked.stop.within(0.1)
        with pytest.raises(QueryTimeout):
            await turns.run("a", gate.work(1), asked)
        assert turns._free == 0  # the thread is still taken
        second = asyncio.create_task(turns.run("a", gate.work(2)))
        await asyncio.sleep(0.01)
        assert gate.begun == [1]
        gate.go.set()
        assert await second == 2
        turns.close()

    asyncio.run(run())


def test_a_client_that_hangs_up_loses_its_place_and_stops_its_query():
    async def run():
        turns, gate, running, queued = Turns(1, 10, 10.0), Gate(), Asked(), Asked()
        hung_up = asyncio.Event()
        gone = hung_up.wait
        tasks = [
            asyncio.create_task(turns.run("a", gate.work(1), running, gone)),
            asyncio.create_task(turns.run("a", gate.work(2), queued, gone)),
        ]
        await asyncio.sleep(0.1)
        hung_up.set()
        assert await outcomes(tasks) == ["client-gone", "client-gone"]
        from storage.errors import QueryAbandoned

        with pytest.raises(QueryAbandoned):
            running.stop.check()
        gate.go.set()
        assert await turns.run("a", gate.work(3)) == 3
        assert gate.begun == [1, 3]
        turns.close()

    asyncio.run(run())


class PanicException(BaseException):
    """What the index engine raises when it panics; its own has the same name, and is no Exception either."""


def test_a_panic_is_one_failed_query():
    async def run():
        turns = Turns(1, 10, 10.0)

        def panic():
            raise PanicException("index out of bounds")

        with pytest.raises(IndexPanic, match="out of bounds"):
            await turns.run("a", panic)
        assert await turns.run("a", lambda: "well") == "well"
        turns.close()

    asyncio.run(run())


class Held:
    """Stands for what the index makes for a query."""


def test_what_a_query_that_failed_had_made_is_let_go_without_the_garbage_collector():
    seen = []

    def cut(error):
        raise error  # holds the error, which holds this frame

    def work():
        held = Held()
        seen.append(weakref.ref(held))
        stop = Stop(lambda: 1.0)
        stop.at_s = 0.0
        try:
            stop.check()
        except QueryTimeout as error:
            cut(error)

    async def run():
        turns = Turns(1, 1, 1.0)
        with pytest.raises(QueryTimeout):
            await turns.run("a", work)
        turns.close()

    gc.disable()
    try:
        asyncio.run(run())
        assert seen[0]() is None
    finally:
        gc.enable()
