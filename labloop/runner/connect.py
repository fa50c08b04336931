"""Three benches behind one door: real ports, simulators in a process of their own, simulators in process.

The drivers cannot tell them apart: each gives ports by the address that the lab file writes.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from labloop.bench import InProcessLink, InProcessMessageLink, LinkError, Port, open_link
from labloop.campaign.errors import SpecError
from labloop.campaign.events import Amount, CampaignOpened
from labloop.campaign.spec import LabSpec
from labloop.campaign.units import convert, same_dimension
from labloop.journal import StoreDamaged, locks
from labloop.journal.files import private_folder, write_whole

from .benches import simulation_plan
from .clock import VirtualClock
from .folder import RunFolder

# Importing numpy takes the simulators about half a second; a loaded machine may need ten times that.
SERVED_WITHIN_S: Final = 30.0
# Beside a simulated bench's state: what a person did to it by hand (see labloop.simulation.serve).
BY_HAND: Final = "by-hand"
ENDED_WITHIN_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """``connect``: an open port by its written address. ``save``: keep a bench that lives in this process.

    ``fill``: a person says what an instrument holds now, and so does what simulates it (a real one was filled).
    """

    connect: Callable[[str], Port]
    save: Callable[[], None] = lambda: None
    fill: Callable[[str, Amount], None] = lambda name, amount: None


@contextmanager
def live_bench(lab_spec: LabSpec) -> Iterator[Bench]:
    """Real ports, opened exclusively. Where they are those of `labloop simulate`, it is told of refills."""
    yield Bench(
        connect=lambda address: Port(open_link(address, lab_spec.folder)),
        fill=lambda name, amount: fill_served(lab_spec, name, amount),
    )


@contextmanager
def virtual_bench(folder: RunFolder, lab_spec: LabSpec, opened: CampaignOpened, clock: VirtualClock) -> Iterator[Bench]:
    """Simulators in this process on the run's own clock; their state is kept beside the journal.

    It is saved before each commit, so after a kill the journal never speaks of an act that this world did not see.
    """
    from labloop.simulation.bench import SimulatedBench  # noqa: PLC0415  (a kept furnace does not wait for numpy)

    plan = simulation_plan(lab_spec, speed=1.0, seed=opened.seed, faults=opened.faults)
    try:
        bench = SimulatedBench(plan, clock)
    except ValueError as error:
        raise SpecError(f"{lab_spec.folder}: {error}") from error
    kept = private_folder(folder.path / "simulators") / "world.json"
    if kept.exists():
        try:
            world = json.loads(kept.read_text())
            clock.advance_to(world["at_s"])
            bench.restore(world)
            # No time passes between two runners of a virtual run: without this a plug that is out stays out for ever.
            clock.advance_to(max([clock.now_s(), *(line.unplugged_until_s for line in bench.lines.values())]))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise StoreDamaged(
                f"{kept}: does not say any more how the simulated bench stood. Put it back from a copy of the folder, "
                "or begin a new run, which can be told the old results (`labloop tell RUN --table T.csv`)."
            ) from error

    def save() -> None:
        write_whole(kept, json.dumps(bench.state()).encode(), durable=False)

    wishes = sorted((kept.parent / BY_HAND).glob("*.json"))  # a person refilled it while nobody ran
    for wish in wishes:
        told = json.loads(wish.read_text())
        if bench.fills(told["instrument"]):
            bench.refill(told["instrument"], float(told["holds_ul"]))
    if wishes:
        save()
    for wish in wishes:
        wish.unlink()

    def connect(address: str) -> Port:
        line = bench.lines[address]
        link = InProcessLink if line.kind == "serial" else InProcessMessageLink
        return Port(link(address, line, clock), inline=True)

    def fill(name: str, amount: Amount) -> None:
        if bench.fills(name) and (volume_ul := _volume_ul(amount)) is not None:
            bench.refill(name, volume_ul)

    try:
        yield Bench(connect=connect, save=save, fill=fill)
        save()
    finally:
        bench.close()


@contextmanager
def served_bench(folder: RunFolder, lab_spec: LabSpec, opened: CampaignOpened) -> Iterator[Bench]:
    """Simulators in a child process on real ports. It outlives a killed runner by a minute, and its bench for ever."""
    home = private_folder(folder.path / "simulators")
    ledger = home / "ledger.jsonl"
    plan = simulation_plan(lab_spec, speed=opened.speed, seed=opened.seed, faults=opened.faults, ledger=ledger)
    plan |= {
        "state": str(home.resolve()),
        "addresses": str((home / "addresses.json").resolve()),
        "watch": str((folder.path / "runner.lock").resolve()),
    }
    child = _Child.of(home, plan)
    by_written = {lab_spec.instruments[name].port: port for name, port in child.ports.items()}
    try:
        yield Bench(
            connect=lambda address: Port(open_link(by_written[address])),
            fill=lambda name, amount: fill_simulated(folder.path, name, amount),
        )
    finally:
        child.end()


def fill_simulated(run: Path, name: str, amount: Amount) -> None:
    """Put down what an instrument of a simulated run holds now; whatever simulates it takes that up."""
    _put_down(lambda: private_folder(run / "simulators" / BY_HAND), name, amount)


def fill_served(lab_spec: LabSpec, name: str, amount: Amount) -> None:
    """The same for `labloop simulate`; real instruments were filled by who says so.

    Its folder goes with it: where nobody serves there is nothing to be filled, and it begins with full syringes anew.
    """
    refills = lab_spec.refills
    if refills is not None and os.access(refills, os.W_OK):
        _put_down(lambda: refills, name, amount)


def _put_down(folder: Callable[[], Path], name: str, amount: Amount) -> None:
    volume_ul = _volume_ul(amount)
    if volume_ul is not None:
        told = json.dumps({"instrument": name, "holds_ul": volume_ul}).encode()
        write_whole(folder() / f"{time.time_ns():020d}-{secrets.token_hex(4)}.json", told)


def _volume_ul(amount: Amount) -> float | None:
    """In uL; None: it is no volume, and nothing simulated is filled with it."""
    if not same_dimension(amount.unit, "uL"):
        return None
    return convert(float(amount.value), amount.unit, "uL")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    """The process that serves a run's simulators, known by pid and start time; ``ports`` by instrument."""

    pid: int
    started: str
    ports: Mapping[str, str]

    @classmethod
    def of(cls, home: Path, plan: Mapping[str, Any]) -> "_Child":
        """The one that a killed runner left alive, else a new one. Raises LinkError with the end of its log.

        Only one process serves a bench (it holds ``serve.lock``). One that comes up or is about to end is waited for.
        """
        until_s = time.monotonic() + SERVED_WITHIN_S
        process: subprocess.Popen[bytes] | None = None
        while time.monotonic() < until_s:
            found = cls._find(home)
            if found is not None:
                return found
            if not locks.held(home / "serve.lock") and (process is None or process.poll() == 0):
                process = cls._spawn(home, plan)
            if process is not None and process.poll():
                break
            time.sleep(0.02)
        if process is not None and process.poll() is None:
            process.terminate()
        said = (home / "serve.log").read_text(errors="replace").strip()[-2000:]
        raise LinkError(f"the simulators did not come up; {home / 'serve.log'} ends with: {said or 'nothing'}")

    @classmethod
    def _find(cls, home: Path) -> "_Child | None":
        """The one whose ports can be relied on, since the runner holds the lock that it watches."""
        if not locks.held(home / "serve.lock"):
            return None
        try:
            told = json.loads((home / "addresses.json").read_text())
        except FileNotFoundError:
            return None
        started = locks.process_started(told["pid"])
        return None if started is None else cls(pid=told["pid"], started=started, ports=told["ports"])

    @staticmethod
    def _spawn(home: Path, plan: Mapping[str, Any]) -> "subprocess.Popen[bytes]":
        write_whole(home / "plan.json", json.dumps(plan).encode(), durable=False)
        with (home / "serve.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "labloop.simulation.serve", str((home / "plan.json").resolve())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip

    def end(self) -> None:
        """Ask it to save its bench and end, and wait until it has."""
        until_s = time.monotonic() + ENDED_WITHIN_S
        if locks.process_started(self.pid) == self.started:
            os.kill(self.pid, signal.SIGTERM)
        while locks.process_started(self.pid) == self.started and time.monotonic() < until_s:
            time.sleep(0.02)
