"""A proving stand: one driver on its own simulator, in this process and on a clock that is moved by hand.

Settings are chosen from what the driver declares: the middle of its limits, short times, and of the optional ones as
few as the driver is content with.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Any, Final

from labloop.bench import Amount, InProcessLink, InProcessMessageLink, Port
from labloop.bench.declared import Declaration, declare
from labloop.bench.instrument import Action, Progress, Setting
from labloop.bench.settings import resolve
from labloop.campaign.errors import SpecError
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.units import same_dimension
from labloop.simulation.bench import SimulatedBench
from labloop.simulation.faults import Faults

from .benches import simulation_plan
from .clock import VirtualClock

SHORT_S: Final = 5.0  # a time that is asked for lasts so long, where the limits allow it
DRAWS: Final = 100  # settings that must fit together (a sweep's start, stop and step) are drawn so often
LONGEST_S: Final = 48 * 3600.0  # an action that has not ended after two days of the clock's time never does
# How often an act is looked at that takes its time: a two-hundredth of it, and sooner than any watchdog bites (20 s).
RARER: Final = 200.0
RAREST_S: Final = 15.0


class Trickle:
    """A line that hands over one byte at a time: what a slow adapter and a busy computer make of any answer."""

    kind = "serial"

    def __init__(self, line: Any) -> None:
        self._line = line
        self._kept = b""

    def receive(self, data: bytes, now_s: float) -> bytes:
        self._kept += self._line.receive(data, now_s)
        one, self._kept = self._kept[:1], self._kept[1:]
        return one

    def due(self, now_s: float) -> float | None:
        if self._kept:
            return now_s + 1e-6
        due: float | None = self._line.due(now_s)
        return due


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Settings under which an action can be tried: as the journal has them, and as the method takes them."""

    amounts: Mapping[str, Amount]
    values: Mapping[str, Any]


class Stand:
    """One instrument of a lab, its driver and its simulated device."""

    def __init__(self, lab: LabSpec, name: str, *, faults: str | None = None, slow: bool = False) -> None:
        """``slow``: the line hands over one byte at a time.

        Raises SpecError for a driver or a simulator that cannot be loaded.
        """
        self.lab = lab
        self.declarations = declare(lab)
        self.declaration: Declaration = self.declarations[name]
        plan = simulation_plan(lab, faults=faults, seed=1)
        if name not in plan["instruments"]:
            raise SpecError(f"{lab.named(('instruments', name))} has no simulator to be tried on")
        plan["instruments"] = {name: plan["instruments"][name]}
        held = lab.instruments[name].stock
        if held is not None:  # half full, so that it can be drawn from and filled
            plan["instruments"][name]["options"]["stock"] = f"{held.value / 2.0:g} {held.unit}"
        plan["sample"] = None  # alone, it has no sample to share
        self.clock = VirtualClock()
        try:
            self.bench = SimulatedBench(plan, self.clock)
        except ValueError as error:
            raise SpecError(f"{lab.folder}: {error}") from error
        self.name = name
        self.took_s = 0.0  # the action that was run last
        self.address = str(lab.instruments[name].port)
        self.line = self.bench.lines[self.address]
        self.serial = self.line.kind == "serial"
        line: Any = Trickle(self.line) if slow and self.serial else self.line
        link = InProcessLink if self.serial else InProcessMessageLink
        self.port = Port(link(self.address, line, self.clock), inline=True)
        self.driver = self.restarted()

    def restarted(self) -> Any:
        """A new driver on the same port, as after a crash of the runner."""
        options = self.declaration.options
        self.driver = self.declaration.driver(self.port.exchange(self.name, self.address), **options)
        return self.driver

    def ready(self) -> "Stand":
        """Identify and set up."""
        self.driver.open()
        self.driver.configure()
        return self

    def wait(self, seconds: float) -> None:
        """Let time pass; what is due happens at its moment."""
        self.clock.advance_to(self.clock.now_s() + seconds)
        self.bench.settle(self.clock.now_s())

    def run(self, action: str, example: Example, act: str) -> Progress:
        """Begin an action and look until it is done. Raises TimeoutError when it never is, and what the driver does."""
        asked_s = self.clock.now_s()
        self.driver.begin(action, dict(example.values), act)
        began_s = self.clock.now_s()
        while True:
            look: Progress = self.driver.progress(self.clock.now_s() - began_s)
            if look.done:
                self.took_s = self.clock.now_s() - asked_s
                return look
            if self.clock.now_s() - began_s > LONGEST_S:
                raise TimeoutError(f"it had not ended after {LONGEST_S / 3600:.0f} h")
            # an act of hours is not looked at each tenth of a second
            self.wait(max(look.again_in_s, 0.01, min((self.clock.now_s() - began_s) / RARER, RAREST_S)))

    def faultless(self) -> None:
        """From here on the line is sound."""
        self.line.faults = Faults({})
        self.wait(30.0)  # what was late has come, what was out is in again

    def truth(self) -> Mapping[str, Any]:
        """What it reads now on a sound line; the faults go on afterwards."""
        faults, self.line.faults = self.line.faults, Faults({})
        self.wait(3.0)  # what was late has come
        self.line.receive(*((b"",) if self.serial else (b"", [])), self.clock.now_s())
        link = InProcessLink if self.serial else InProcessMessageLink
        line: Any = self.line
        port = Port(link(self.address, line, self.clock), inline=True)
        driver = self.declaration.driver(port.exchange(self.name, self.address), **self.declaration.options)
        try:
            driver.open()
            readings: Mapping[str, Any] = driver.read()
            return readings
        finally:
            self.line.faults = faults

    @property
    def sent(self) -> int:
        """How much has gone out on the line."""
        return sum(one.kind == "sent" for one in self.port.traffic)

    @property
    def running(self) -> int:
        """Physical acts that have begun and not ended."""
        entries = self.bench.ledger.entries
        return sum(one.phase == "begin" for one in entries) - sum(one.phase == "end" for one in entries)


def examples(declaration: Declaration, action: Action) -> Iterator[Example]:
    """Settings that the driver accepts together, those with the fewest optional ones first."""
    required = [one for one in action.settings if one.required]
    optional = [one for one in action.settings if not one.required]
    subsets = [some for count in range(len(optional) + 1) for some in combinations(optional, count)]
    dice = Random(0)
    for attempt in range(DRAWS):
        for some in subsets:
            drawn = {one.name: middle(one) if attempt == 0 else inside(one, dice) for one in (*required, *some)}
            amounts = {one.name: Amount(drawn[one.name], one.unit) for one in (*required, *some)}
            values = resolve(action, amounts)
            if not declaration.complaint(action.name, values):
                yield Example(amounts=amounts, values=values)


def inside(setting: Setting, dice: Random) -> Any:
    """A value somewhere inside a setting's limits, small ones as often as large ones."""
    if setting.choices or setting.low is None or setting.high is None or same_dimension(setting.unit, "s"):
        return middle(setting)
    reach = max(abs(setting.low), abs(setting.high)) * 10.0 ** -dice.uniform(0.0, 4.0)
    return min(max(dice.choice((-1.0, 1.0)) * reach, setting.low), setting.high)


def middle(setting: Setting) -> Any:
    """A value well inside a setting's limits; a short one where it is a time."""
    if setting.choices:
        return setting.choices[0]
    low, high = setting.low, setting.high
    if low is None or high is None:
        return 1.0 if setting.default is None else setting.default
    if same_dimension(setting.unit, "s") and not setting.difference:
        return min(max(SHORT_S, low), high)
    if setting.default is not None:
        return setting.default
    return (low * high) ** 0.5 if low > 0.0 and high / low > 100.0 else (low + high) / 2.0
