"""An act by hand in a paused run, and what befalls it: its runner is killed, its plug is pulled, its mains go.

Killed with SIGKILL after any commit and at any exchange from the wish to the resume; see lockstep. Whatever happens,
the pump has done once what the books of bench and run say, and nothing moves that nobody watches.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import accounts
import pytest
from lockstep import Bench, Nursery
from people import WATCHED, People, wish
from reach import CAMPAIGN, PUMP, ROOT
from test_kill_anywhere import memory_folder
from test_stopped_anywhere import acts as moves

from campaigns import records
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.journal import Reader

LAB = f"""
    labloop: 1
    root: {ROOT}
    instruments:
      pump_b: {{{PUMP}, address: 1}}
      waste: {{{PUMP}, address: 2, stock: 1 mL}}
      hotplate: {{driver: "drivers.ika:RCT", simulator: "simulators.ika:RCT", port: "serial:///dev/plate?baud=9600"}}
"""
RUN = """
    trial:
      - pump_b.dispense: {rate: 300 uL/min, time: 4 s}
      - pump_b.dispense: {rate: 300 uL/min, time: 4 s}
    budget: {trials: 1}
"""
DEEDS = (
    (2.0, wish("pause", by="ann", why="air in the line")),
    (8.0, wish("act", "waste.dispense", "rate=600 uL/min", "time=6 s", by="ann", why="purge")),
    (20.0, wish("resume", "force", by="ann", why="only waste")),
)
ASKED_UL = 60.0
GAPS_S = (0.0, 2.0, 45.0)


class Hands(Nursery):
    script = "hand_nursery.py"


class Stage:
    """A run that was killed right after its first fact, to be copied."""

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        self.folder, self.nursery, self.lab = folder, nursery, folder / "lab.yaml"
        self.lab.write_text(dedent(LAB) + dedent(WATCHED))
        (folder / "one.yaml").write_text(dedent(CAMPAIGN) + dedent(RUN))
        order = {"campaign": str(folder / "one.yaml"), "run": str(folder / "begun")}
        assert Bench.of(self.lab).run(nursery, order, at=1) == -9
        self.count = 0

    def set(self) -> "Afternoon":
        self.count += 1
        home = self.folder / str(self.count)
        shutil.copytree(self.folder / "begun", home / "run")
        return Afternoon(home, Bench.of(self.lab), self.nursery)


class Afternoon:
    """One run, its bench, and Ann, who does what she does at its time, whoever is killed meanwhile."""

    def __init__(self, home: Path, bench: Bench, nursery: Nursery) -> None:
        self.bench, self.nursery, self.path = bench, nursery, home / "run"
        self.people = People(home, *DEEDS)

    def goes_on(self, at: Any = 0) -> int:
        order = {"resume": str(self.path), "by": "ann", "as_it_is": "only waste"}
        ann = lambda point: self.people(self.bench.bench, self.bench.clock.now_s())  # noqa: E731
        return self.bench.run(self.nursery, order, at=at, meanwhile=ann)

    def facts(self, kind: type, book: str = "bench.db") -> list[Any]:
        with closing(Reader(self.path / book)) as reader:
            return [one.event for one in reader.records() if isinstance(one.event, kind)]

    def wrong(self) -> list[str]:
        """Where the pump, the bench's books and the run's say different things, in words."""
        state, wrong = s.fold(records(self.path)), []
        begun = [one for one in self.facts(e.ByHand) if not (one.done or one.failed)]
        ended = [one for one in self.facts(e.ByHand) if one.done or one.failed]
        if len(begun) > 1 or [one.act for one in begun] != [one.act for one in ended]:
            wrong.append(f"begun {begun}, ended {ended}")
        did = accounts.acts(self.bench.ledger)["waste", "dispense"]
        told = [float(one.achieved["volume"].value) if "volume" in one.achieved else ASKED_UL for one in ended]
        known = [one for one in ended if "volume" in one.achieved]
        moved, counted = sum(did), sum(told)
        if len(did) > 1 or moved > counted + accounts.NEAR_UL or (known and abs(moved - counted) > accounts.NEAR_UL):
            wrong.append(f"the pump did {did}, and the bench's journal says {ended}")
        drawn = sum(float(one.amount.value) for one in self.facts(e.StockDrawn)) * 1e3
        if abs(drawn - counted) > 1e-6:
            wrong.append(f"{counted} uL are told, and {drawn} uL are drawn from the stock")
        seen = Counter(act for one in self.facts(e.ByHandSeen, "journal.db") for act in one.acts)
        if seen != Counter(one.act for one in begun):
            wrong.append(f"the run knows of {seen}, the bench of {begun}")
        asked = Counter(one.id for one in self.facts(e.Requested, "journal.db"))
        answered = Counter(one.id for one in self.facts(e.RequestAnswered, "journal.db"))
        if asked != answered or max(asked.values(), default=1) > 1:
            wrong.append(f"asked {asked}, answered {answered}")
        mine = [one for one in self.bench.ledger if one.instrument != "waste"]
        wrong += accounts.disagreements(mine, state) + accounts.done_twice(state)
        wrong += [f"{name} moves still" for name, device in self.bench.bench.devices.items() if moves(device)]
        if state.questions or not any(one.state == s.AWAITING and one.closed for one in state.trials.values()):
            wrong.append(f"it is {state.state}: {state.reason}")
        return wrong


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with memory_folder() as folder, Hands() as nursery:
        yield Stage(folder, nursery)


# --- its runner is killed ---------------------------------------------------------------------------------------------


def telling(points: list[str]) -> list[int]:
    """The points from the wish to the resume at which bench and books are not as they were at the one before."""
    wishes = [n for n, point in enumerate(points) if point == "commit journal.db: Requested"]
    return [n + 1 for n in range(wishes[1], wishes[2] + 2) if not points[n].startswith("before")]


def unharmed(stage: Stage) -> list[int]:
    afternoon = stage.set()
    assert afternoon.goes_on() == 0 and afternoon.wrong() == []
    assert accounts.acts(afternoon.bench.ledger)["waste", "dispense"] == [pytest.approx(ASKED_UL, abs=0.1)]
    points = telling(afternoon.bench.points)
    assert len(points) > 30
    return points


def killed(stage: Stage, point: int) -> list[str]:
    afternoon = stage.set()
    assert afternoon.goes_on(at=point) == -9
    where = f"{point} ({afternoon.bench.points[-1]})"
    afternoon.bench.pass_time(GAPS_S[point % len(GAPS_S)])
    code = afternoon.goes_on()
    return [f"{where}: {one}" for one in (f"exit {code}" if code else "", *afternoon.wrong()) if one]


def test_killed_at_some_points(stage: Stage) -> None:
    points = unharmed(stage)
    assert [line for point in points[2 :: len(points) // 6] for line in killed(stage, point)] == []


@pytest.mark.slow
def test_killed_at_every_point(stage: Stage) -> None:
    assert [line for point in unharmed(stage) for line in killed(stage, point)] == []


# --- its instrument dies ----------------------------------------------------------------------------------------------

SETTING_UP, RUNNING = 8, 11  # exchanges of the act: its volume is read back; the first look at it, a moment after RUN
ALL = 14


def befallen(stage: Stage, at: int, what: str, kill: str = "") -> tuple[Afternoon, int]:
    """At an exchange of the act its mains or its plug go; ``kill``: so does the runner, at the next such point."""
    afternoon = stage.set()
    bench, waste = afternoon.bench, afternoon.bench.bench.devices["waste"]
    (line,) = (line for port, line in bench.bench.lines.items() if "pumps" in port)
    usual, count = line.receive, 0

    def receive(data: bytes, now_s: float) -> bytes:
        nonlocal count
        begun = "commit bench.db: ByHand" in bench.points and not any("SafeState" in one for one in bench.points)
        count += data.startswith(b"2") and begun
        if data and count == at:
            line.receive = usual
            if what == "mains":
                waste.power_cycle(now_s)
            else:
                line.unplugged_until_s = now_s + float(what)
        said: bytes = usual(data, now_s)
        return said

    line.receive = receive
    code = afternoon.goes_on(at=(lambda point: count == at and point == kill) if kill else 0)
    assert count == at
    line.unplugged_until_s = bench.clock.now_s()
    return afternoon, code


def mains(stage: Stage, at: int) -> list[str]:
    """It says that it was switched off, and the run goes on; what is not known counts in full."""
    afternoon, code = befallen(stage, at, "mains")
    return [f"{at}: {one}" for one in (f"exit {code}" if code else "", *afternoon.wrong()) if one]


def unplugged(stage: Stage, at: int, seconds: str) -> list[str]:
    """The run ends, and says that the act's end is not known; its next start asks, and knows how much it was."""
    afternoon, code = befallen(stage, at, seconds)
    notes = [one.text for one in afternoon.facts(e.NoteTaken, "journal.db")]
    wrong = [] if "waste does not say what became of waste.dispense" in notes[-1] else [f"it noted {notes}"]
    if code != 3 or any(one.failed or one.done for one in afternoon.facts(e.ByHand)):
        wrong.append(f"exit {code}, and {afternoon.facts(e.ByHand)}")
    afternoon.bench.pass_time(GAPS_S[at % len(GAPS_S)])
    if code := afternoon.goes_on():
        wrong.append(f"resumed, exit {code}")
    wrong += afternoon.wrong()
    if "volume" not in afternoon.facts(e.ByHand)[-1].achieved:
        wrong.append("how much it did was to be known")
    return [f"{at}: {one}" for one in wrong]


def test_its_mains_go(stage: Stage) -> None:
    assert mains(stage, SETTING_UP) + mains(stage, RUNNING + 1) == []


def test_its_plug_is_pulled(stage: Stage) -> None:
    assert unplugged(stage, RUNNING, "inf") + unplugged(stage, RUNNING + 1, "3") == []


@pytest.mark.slow
def test_its_mains_and_its_plug_go_at_every_exchange(stage: Stage) -> None:
    every = range(1, ALL + 1)
    assert [line for at in every for line in mains(stage, at)] == []
    assert [line for at in every[::3] for line in unplugged(stage, at, "inf" if at % 2 else "3")] == []


def test_what_cannot_tell_and_may_still_move_is_stopped_at_the_next_start(stage: Stage) -> None:
    """Switched off and on while it was set up, it was started all the same; its runner is killed before the stop."""
    afternoon, code = befallen(stage, SETTING_UP, "mains", kill="commit bench.db: AlarmHeard")
    assert code == -9
    afternoon.bench.pass_time(2.0)
    assert afternoon.goes_on() == 0 and afternoon.wrong() == []
    (moved,) = accounts.acts(afternoon.bench.ledger)["waste", "dispense"]
    assert 10.0 < moved < 50.0 and afternoon.facts(e.ByHand)[-1].failed.startswith("cannot_tell")
