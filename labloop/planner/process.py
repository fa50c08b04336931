"""The planner in a process of its own, seen from the runner. Imports no numpy: that is the child's burden.

    start -> spawn the child, send the campaign        send_facts, request -> lines in order
    the child dies -> spawn another, send the same lines again (questions already answered left out): same facts, same
                      seed, same proposals
    it dies MOST_DEATHS times over one question, or is late -> the question is asked again for the design alone, which
                      fits nothing, and the proposal says why
    it dies over that as well -> PlannerError

A long fit, a fault in a library or an out-of-memory kill can so delay a proposal, never the runner. When the runner
dies the child's stdin ends, and the child with it.
"""

import os
import signal
import site
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import msgspec

from labloop.campaign.errors import LabloopError, SpecError, StateError
from labloop.campaign.events import Record

from . import wire
from .errors import NothingLeftError, PlannerError
from .proposal import Proposal

MOST_DEATHS = 3
ROOT = str(Path(__file__).resolve().parents[2])  # where labloop itself is imported from
# One thread: OpenMP's threads spin for a core that a neighbour has, and made fits 5 to 25 times slower on a busy
# machine; and a sum over another number of threads has other last digits.
ONE_THREAD: Final = {
    name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
}


def environment() -> dict[str, str]:
    """What a child process of ours gets: this one's variables, and the place that labloop is imported from."""
    found = dict(os.environ)
    if ROOT not in {*site.getsitepackages(), site.getusersitepackages()}:  # a checkout: the child takes it as well
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, found.get("PYTHONPATH")]))
    return found


REFUSALS: Final[Mapping[str, type[LabloopError]]] = {
    "nothing_left": NothingLeftError,
    "spec": SpecError,
    "state": StateError,
    "defect": PlannerError,
}


@dataclass(slots=True)
class _Open:
    """A question that waits for its answer."""

    ask: wire.Ask
    future: "Future[list[Proposal]]"
    place: int  # in the script
    deadline_s: float | None
    timer: threading.Timer | None = None
    deaths: int = 0


class PlannerProcess:
    """A warm child that answers with proposals. Safe to call from any thread; close() when done.

    spec: the campaign as a dict that ``spec_from_dict(spec, folder)`` reads. log: where the child's stderr goes.
    """

    def __init__(self, spec: Mapping[str, Any], folder: Path, log: Path | None = None) -> None:
        self._folder = str(folder)
        self._script: list[bytes | None] = [wire.pack(wire.Open(spec=dict(spec), folder=self._folder))]
        self._log = log
        self._lock = threading.RLock()
        self._open: dict[int, _Open] = {}
        self._requests = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._refused: LabloopError | None = None
        self._closed = False
        self._deaths = 0
        self.ready = threading.Event()

    @property
    def pid(self) -> int | None:
        """The child's process id; None before start and after close."""
        return self._child.pid if self._child and not self._closed else None

    def start(self) -> None:
        """Spawn the child. Returns at once; it warms up (some seconds) while the caller goes on."""
        with self._lock:
            if self._child is None and not self._closed:
                self._spawn()

    def send_facts(self, records: Sequence[Record]) -> None:
        """Tell the planner the journal's next records."""
        if records:
            with self._lock:
                self._say(wire.pack_records(list(records)))

    def amend(self, spec: Mapping[str, Any], former: Sequence[Mapping[str, Any]]) -> None:
        """From the next question on the campaign is this one; ``former``: what it was before, oldest first."""
        with self._lock:
            self._say(wire.pack(wire.Open(spec=dict(spec), folder=self._folder, former=[*map(dict, former)])))

    def request(
        self, count: int, based_on: int = 0, first: int | None = None, deadline_s: float | None = None
    ) -> "Future[list[Proposal]]":
        """Ask for ``count`` proposals on the facts sent so far. The future raises LabloopError as the planner does.

        deadline_s: wall seconds after which the design answers instead of the model. None: however long it takes.
        """
        with self._lock:
            future: Future[list[Proposal]] = Future()
            if self._closed or self._refused:
                future.set_exception(self._refused or PlannerError("the planner is closed"))
                return future
            self._requests += 1
            ask = wire.Ask(request=self._requests, count=count, first=first, based_on=based_on)
            question = _Open(ask=ask, future=future, place=len(self._script), deadline_s=deadline_s)
            self._open[ask.request] = question
            self._say(wire.pack(ask))
            self._set_timer(question)
            return future

    def close(self) -> None:
        """End the child. Questions still open fail with PlannerError. Harmless twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            child = self._child
            self._fail_all(PlannerError("the planner was closed before it answered"))
            self._outbox.put(None)
        if child is not None:
            child.kill()
            child.wait()

    # --- the child ------------------------------------------------------------------------------------------------

    def _spawn(self) -> None:
        with open(self._log or os.devnull, "ab") as stderr:
            # -P: the folder it happens to be started in is no place to import from.
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "labloop.planner"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment() | ONE_THREAD,
                start_new_session=True,  # Ctrl-C in the terminal is the runner's to answer
            )
        self._outbox.put(None)  # the last child's writer is done
        self._child, self._outbox = child, SimpleQueue()
        for line in self._script:
            if line is not None:
                self._outbox.put(line)
        threading.Thread(target=_write, args=(child, self._outbox), daemon=True, name="planner-writer").start()
        threading.Thread(target=self._read, args=(child,), daemon=True, name="planner-reader").start()

    def _say(self, line: bytes) -> None:
        self._script.append(line)
        self._outbox.put(line)

    def _read(self, child: "subprocess.Popen[bytes]") -> None:
        assert child.stdout is not None
        for line in child.stdout:
            try:
                reply = wire.read_for_runner(line)
            except msgspec.DecodeError as error:
                with self._lock:
                    self._fail_all(PlannerError(f"the planner said {line[:200]!r}, which is no reply: {error}"))
                child.kill()
                break
            with self._lock:
                self._take(reply)
        code = child.wait()
        with self._lock:
            if child is self._child and not self._closed:
                self._died(code)

    def _take(self, reply: wire.Ready | wire.Answer | wire.Refusal) -> None:
        if isinstance(reply, wire.Ready):
            self.ready.set()
            return
        if isinstance(reply, wire.Refusal) and reply.request is None:
            self._refused = REFUSALS[reply.kind](reply.message)
            self._fail_all(self._refused)
            return
        question = self._open.pop(reply.request or 0, None)
        if question is None:
            return  # asked again meanwhile, and answered
        self._script[question.place] = None
        self._deaths = 0
        if question.timer:
            question.timer.cancel()
        if isinstance(reply, wire.Answer):
            question.future.set_result(reply.proposals)
        else:
            question.future.set_exception(REFUSALS[reply.kind](reply.message))

    def _died(self, code: int) -> None:
        """Spawn again and ask again; give up where that has been tried."""
        self.ready.clear()
        how = _how(code, self._log)
        self._deaths += 1
        question = min(self._open.values(), key=lambda each: each.place, default=None)
        if question is None and self._deaths > MOST_DEATHS:
            self._refused = PlannerError(f"the planner's process cannot stay alive: {how}")
            return
        if question is not None:
            question.deaths += 1
            if question.ask.design_only and question.deaths > MOST_DEATHS:
                self._refused = PlannerError(f"the planner's process died {question.deaths} times: {how}")
                self._fail_all(self._refused)
                return
            if question.deaths >= MOST_DEATHS:
                self._ask_design(
                    question, f"surrogate failed: the planner's process died {question.deaths} times, {how}"
                )
        self._spawn()

    # --- deadlines ------------------------------------------------------------------------------------------------

    def _set_timer(self, question: _Open) -> None:
        if question.deadline_s is not None:
            question.timer = threading.Timer(question.deadline_s, self._late, (question,))
            question.timer.daemon = True
            question.timer.start()

    def _late(self, question: _Open) -> None:
        with self._lock:
            if question.ask.request not in self._open or question.ask.design_only or self._closed:
                return
            self._ask_design(question, f"surrogate failed: no answer in {question.deadline_s:g} s")
            child = self._child
            self._spawn()
        if child is not None:
            child.kill()

    def _ask_design(self, question: _Open, why: str) -> None:
        question.ask = _to_design(question.ask, why)
        self._script[question.place] = wire.pack(question.ask)

    def _fail_all(self, error: LabloopError) -> None:
        for question in self._open.values():
            if question.timer:
                question.timer.cancel()
            if not question.future.done():
                question.future.set_exception(error)
        self._open.clear()


def _to_design(ask: wire.Ask, why: str) -> wire.Ask:
    """The same question, to the design alone."""
    return msgspec.structs.replace(ask, design_only=why)


def _write(child: "subprocess.Popen[bytes]", outbox: "SimpleQueue[bytes | None]") -> None:
    """Hand lines on; a child that reads slowly holds up this thread and nobody else."""
    assert child.stdin is not None
    while (line := outbox.get()) is not None:
        try:
            child.stdin.write(line)
            child.stdin.flush()
        except OSError:
            return  # it died: the reader's thread sees that and spawns another, with a queue of its own
    child.stdin.close()


def _how(code: int, log: Path | None) -> str:
    """What ended it, in words."""
    words = f"exit code {code}"
    if code < 0:
        name = signal.Signals(-code).name
        words = f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"{words}; its log is {log}" if log else words
