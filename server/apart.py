"""Long questions are answered apart: by a process that can be killed, as a step of the index engine cannot.

question --pickle--> process of its own: reads the store, answers --pickle--> answer; killed when time is up

A process is started for the first question that needs one, kept for those that follow, and ends when none came for a
while. It ends by itself when the one that started it is gone. What it may hold in memory is bounded by the kernel: a
question that wants more ends it, and nothing else.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle  # between processes of one program only
import queue
import resource
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, TypeAlias

from dsl.errors import Mistake, QueryError
from dsl.limits import Limits
from server.clock import now_us
from server.engine import Engine
from server.engine.asked import Asked
from storage.errors import IndexPanic
from storage.own_views import remove_stale_views
from storage.paths import DataDirectory
from storage.stop import Stop
from storage.store import Store

Question: TypeAlias = tuple[str, dict[str, Any], float | None]
"""A method of the engine, its arguments, and the seconds that are left."""

_PROGRAM = "import sys; from server.apart import serve; serve(int(sys.argv[1]))"

log = logging.getLogger(__name__)

POLL_S = 0.05  # how soon is seen that nobody waits any more
GRACE_S = 0.15  # beyond its time, for a question to notice by itself that it is over
IDLE_S = 300.0  # a process that nobody needs so long ends: it has some 50 MB
TEND_S = 1.0  # how soon an idle one closes files that were dropped or replaced
NO_ROOM_FOR_THREAD = 127  # how glibc exits that "cannot allocate memory for thread-local data"
FULL_SHARE = 0.75  # of what a process may hold; where something fails beyond it, that is why
BYTES_MAX = 1 << 30  # of one question: all that runs in the index engine, of which nobody else keeps count


@dataclass(frozen=True, slots=True)
class Place:
    """What a process answers from.

    Attributes:
        data: The data directory.
        limits: What one query may cost.
        bytes_max: What one may hold in memory.
    """

    data: Path
    limits: Limits
    bytes_max: int = BYTES_MAX


class Apart:
    """Answers questions in processes of their own, as many as there are at once. Thread-safe.

    Args:
        place: What they answer from.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._idle: list[_Process] = []
        self._lock = threading.Lock()

    def ask(self, name: str, arguments: dict[str, Any], asked: Asked) -> Any:
        """What a method of the engine gives.

        Args:
            name: The method.
            arguments: For it, but for `asked`.
            asked: When the question is given up.

        Raises:
            QueryTimeout: time is up.
            QueryAbandoned: nobody waits for the answer.
            QueryError: there are mistakes, or it wants more memory than it may have (`answer-too-large`).
            StoreError: what the method raises.
        """
        asked.stop.check()
        process = self._take()
        try:
            return self._answer(process, name, arguments, asked.stop)
        finally:
            if process.is_well:
                with self._lock:
                    self._idle.append(process)
            else:
                process.kill()
                remove_stale_views(DataDirectory(self._place.data))

    def close(self) -> None:
        """End the processes that are idle; those that work end when this one does."""
        with self._lock:
            for process in self._idle:
                process.kill()
            self._idle.clear()

    def _take(self) -> _Process:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.is_alive:
                    return process
                process.kill()
        return _Process(self._place)

    def _answer(self, process: _Process, name: str, arguments: dict[str, Any], stop: Stop) -> Any:
        process.is_well = False
        try:
            process.send((name, arguments, stop.left_s))
            while not process.has_answer(POLL_S):
                stop.check(GRACE_S)
            is_right, found = process.receive()
        except (EOFError, OSError) as error:
            raise self._died(process) from error
        process.is_well = True
        if is_right:
            return found
        raise found

    def _died(self, process: _Process) -> Exception:
        """What the end of a process says of its question."""
        code = process.exit_code()
        # The engine had no memory, the machine had none, or the C library none for a thread that it was to begin.
        if code in (-signal.SIGABRT, -signal.SIGKILL, NO_ROOM_FOR_THREAD):
            message = f"the query wants more than {self._place.bytes_max} bytes of memory"
            hint = "group by less, ask for fewer aggregates, or narrow it with :where and :time"
            return QueryError([Mistake("answer-too-large", message, 0, 0, hint)])
        log.error("a process that answered a query ended with %s", code)
        return IndexPanic("the process that worked on this query ended", "please report it with the query")


class _Process:
    """One of them, as seen from here.

    Attributes:
        is_well: Whether it can be given another question.
    """

    def __init__(self, place: Place) -> None:
        self._connection, other = Pipe()
        with other:
            command = [sys.executable, "-c", _PROGRAM, str(other.fileno())]
            self._process = subprocess.Popen(  # noqa: S603  # our own
                command, stdin=subprocess.DEVNULL, pass_fds=[other.fileno()]
            )
        self._connection.send(place)
        self.is_well = True

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it is there, and has not ended for want of questions."""
        return self._process.poll() is None and not self._connection.poll()

    def send(self, question: Question) -> None:
        """Give it a question."""
        self._connection.send(question)

    def has_answer(self, wait_s: float) -> bool:
        """Whether it has answered, or ended."""
        return self._connection.poll(wait_s)

    def receive(self) -> tuple[bool, Any]:
        """Its answer: whether it is one, and that or an error."""
        answer: tuple[bool, Any] = pickle.loads(self._connection.recv_bytes())  # noqa: S301
        return answer

    def exit_code(self) -> int:
        """How it ended."""
        return self._process.wait()

    def kill(self) -> None:
        """End it now, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._connection.close()


def serve(descriptor: int) -> None:
    """Answer questions, one after another, until nobody asks or whoever might is gone.

    Args:
        descriptor: Of the connection to whoever asks; the place to answer from comes first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(descriptor)
    place: Place = connection.recv()
    questions: queue.SimpleQueue[Question] = queue.SimpleQueue()
    store = Store(DataDirectory(place.data))
    threading.Thread(target=_work, args=(connection, questions, store, place), daemon=True).start()
    idle_s = 0.0
    with suppress(EOFError, OSError):
        while idle_s < IDLE_S or not questions.empty():
            if connection.poll(TEND_S):
                questions.put(connection.recv())
                idle_s = 0.0
            else:
                store.let_go()
                idle_s += TEND_S
    store.close()
    os._exit(0)  # whatever the other thread does


def _work(
    connection: Connection,
    questions: queue.SimpleQueue[Question],
    store: Store,
    place: Place,
) -> None:
    engine = Engine(store, now_us, place.limits)
    gc.freeze()
    _bound_memory(place.bytes_max)
    while True:
        name, arguments, left_s = questions.get()
        asked = Asked()
        asked.stop.within(left_s)
        connection.send_bytes(_outcome(engine, name, arguments, asked))


def _outcome(engine: Engine, name: str, arguments: dict[str, Any], asked: Asked) -> bytes:
    """What comes of a question, packed."""
    try:
        found = getattr(engine, name)(**arguments, asked=asked)
    except MemoryError:
        os.abort()
    except IndexPanic as error:
        if _is_full():
            os.abort()  # for want of memory: some parts of the engine panic then
        return _packed(error)
    except Exception as error:  # noqa: BLE001  # it is raised where it can be answered
        return _packed(error)
    return pickle.dumps((True, found), pickle.HIGHEST_PROTOCOL)


def _packed(error: Exception) -> bytes:
    return pickle.dumps((False, error.with_traceback(None)), pickle.HIGHEST_PROTOCOL)


def _bound_memory(bytes_max: int) -> None:
    """Let the kernel refuse what is more than this process has now and may have for a question."""
    resource.setrlimit(resource.RLIMIT_DATA, (_held_bytes() + bytes_max, resource.RLIM_INFINITY))


def _is_full() -> bool:
    """Whether what this process may hold is nearly used up."""
    most, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return most != resource.RLIM_INFINITY and _held_bytes() > FULL_SHARE * most


def _held_bytes() -> int:
    """What this process has made room for, as the kernel counts it."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
