"""A lab file come alive: drivers loaded, ports opened, instruments identified, and the way to the safe state.

Instruments whose addresses differ only in what belongs to one instrument (``actor``) share a port. How a port is
opened is the caller's: ``connect`` gets the address as the lab file writes it (of a shared line: as its first
instrument has it) and answers with a Port, real or simulated.

The safe state is reached in one order, whatever happened before: everything that runs or waits on any port is broken
off; every instrument but the kept ones is braked (one command, no answer waited for) and then stopped (and made sure
of), every port at once; then the lab's own list. An instrument that does not answer costs the others nothing: its
complaint is collected and the rest goes on.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.events import Amount
from labloop.campaign.formula import Expression
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.rules import TABLES
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.steps import Step, Text, steps_of
from labloop.campaign.units import Quantity

from .declared import EVERYTHING, Declaration, declare, kept_of, port_keys
from .errors import BenchError, InstrumentFault, LinkTimeout
from .instrument import Identity
from .permit import Permit
from .port import RETURNS_S, Port
from .safety import Envelope
from .settings import suggest
from .station import Station, brakes, stop
from .transport import open_link

_T = TypeVar("_T")

Connect = Callable[[str], Port]

# stop() of the slowest driver is a handful of exchanges of 0.3 s on a dead line; five drivers share a port at most in
# the shipped lab. Beyond this an instrument is reported as not stopped (test_lab_made_safe).
SAFE_S = 10.0
# A sound line has stopped what is on it long before; the lab's own list does not wait longer for a dead one.
LIST_AFTER_S = 2.0
# Saying goodbye is a courtesy of one exchange; a line that does not answer is let go without it.
CLOSE_S = 1.0
# How often it is looked whether one stop hangs and keeps others from theirs.
LOOK_S = 0.05
# Who is on a line is a few questions to each that shares it; a driver that has not asked them by then hangs in one.
ASKED_S = 120.0


@dataclass(slots=True)
class Lab:
    """An open lab. Ports are open; instruments are silent until open() is called.

    ``beyond``: what is still wrong, in words, once all is stopped but what ``keep`` lets go on. ``not_safe``: what went
    wrong when it was made safe last (None: it was not yet).
    """

    spec: LabSpec
    instruments: dict[str, Station]
    ports: dict[str, Port] = field(default_factory=dict)
    safe_state: tuple[Permit, ...] = ()
    beyond: Callable[[], list[str]] = list
    not_safe: list[str] | None = None
    hanging: list[str] = field(default_factory=list)  # once closed: lines that could not be let go, in words

    @property
    def declared(self) -> dict[str, Declaration]:
        """What is known of each instrument without asking it."""
        return {name: station.declaration for name, station in self.instruments.items()}

    @property
    def inline(self) -> bool:
        """Whether every call runs at once in the caller's thread: nothing can block it, and no other thread may."""
        return all(port.inline for port in self.ports.values())

    def open(self) -> dict[str, Identity]:
        """Identify every instrument, setting nothing; every port at once. Raises the first complaint."""
        for name, identity in self._everywhere(self.instruments, Station.identify_first).items():
            self.instruments[name].identity = identity
        return {name: station.identity for name, station in self.instruments.items() if station.identity}

    def configure(self, *names: str) -> None:
        """Send the lab's settings to every instrument, or to these; only after recovery has asked.

        Raises the first complaint.
        """
        self._everywhere(names or self.instruments, lambda station: station.driver.configure())

    def reopen(self, name: str, within_s: float) -> dict[str, Identity]:
        """Open the port of a lost instrument again and make sure that the same instruments answer on it: who does.

        Raises LinkError while the port is away, InstrumentFault when something else answers.
        """
        self.instruments[name].port.reopen(within_s)
        return self.on_line(name, within_s)

    def on_line(self, name: str, within_s: float = ASKED_S) -> dict[str, Identity]:
        """Make sure that the same instruments answer on the line of ``name``: who does.

        Raises LinkError when one does not, InstrumentFault when something else answers.
        """
        port = self.instruments[name].port
        sharing = [one for one, station in self.instruments.items() if station.port is port]
        return self._everywhere(sharing, _identified, within_s)

    def safe(self) -> list[str]:
        """Bring the bench to its safe state, going on past every error; what went wrong, in words."""
        self.not_safe = self._safe()
        return self.not_safe

    def _safe(self) -> list[str]:
        for port in self.ports.values():
            port.interrupt()
        strangers = {name: station.stranger for name, station in self.instruments.items() if station.stranger}
        errors = [f"{name}: {who}; nothing was said to it" for name, who in sorted(strangers.items())]
        found = self._stop(self.instruments.keys() - strangers.keys())
        again: dict[int, list[str]] = {}  # by line: none waits for another's that is silent
        for name in [name for name, wrong in found.items() if wrong]:
            again.setdefault(id(self.instruments[name].port), []).append(name)
        if self.inline:
            tried = [self._once_more(names) for names in again.values()]
        else:
            with ThreadPoolExecutor(max(len(again), 1)) as at_once:
                tried = list(at_once.map(self._once_more, again.values()))
        for one in tried:
            found |= one
        return errors + [one for wrong in found.values() for one in wrong] + self.beyond()

    def _once_more(self, names: Collection[str]) -> dict[str, list[str]]:
        """Open the line of these, which did not stop, again and stop who is there; what went wrong then, by name."""
        found: dict[str, list[str]] = {}
        renewed = False
        for name in names:
            port = self.instruments[name].port
            # Not lost: another instrument on the line has brought it back, or nothing tells of it (see Port.far).
            if not port.lost and (not port.far or renewed):
                continue
            renewed = True
            with suppress(Exception):  # it is away still, or its driver errs: what went wrong is said already
                self.reopen(name, SAFE_S)
            if port.lost:
                continue
            # Who does not answer may hear, and keeps nobody else from being stopped. What has stopped is left alone:
            # it has done what the list says.
            found |= self._stop([one for one in names if not self.instruments[one].stranger])
        return found

    def _stop(self, names: Collection[str]) -> dict[str, list[str]]:
        """Brake and stop these instruments, then do what the lab's list says of them; what went wrong, by name."""
        kept = kept_of(self.spec)
        stopping = {
            name: station
            for name, station in self.instruments.items()
            if name in names and kept.get(name) != EVERYTHING
        }
        # What goes wrong in braking goes wrong in stopping too, and is said there. A brake spares nothing.
        braking = [
            station.port.submit(station.driver.brake, name)
            for name, station in stopping.items()
            if name not in kept and brakes(station)
        ]
        began_s = time.monotonic()
        stopped = {
            name: station.port.submit(partial(stop, station, kept.get(name, frozenset()), began_s + LIST_AFTER_S), name)
            for name, station in stopping.items()
        }
        returns_s = began_s + RETURNS_S
        for port in self.ports.values():
            port.go_on_without(max(returns_s - time.monotonic(), 0.0))
        wait_past(self.ports.values(), [*braking, *stopped.values()], began_s + LIST_AFTER_S)
        listed = []
        for permit in (one for one in self.safe_state if one.instrument in names):
            station = self.instruments[permit.instrument]
            future = station.port.submit(partial(station.begin, permit, "safe"), station.name)
            wait_past(self.ports.values(), [future], time.monotonic() + LIST_AFTER_S)
            listed.append((permit, future))
        wait_past(self.ports.values(), stopped.values(), began_s + SAFE_S)
        wait_past(self.ports.values(), [future for _, future in listed], time.monotonic() + SAFE_S)
        errors = {name: trouble(f"{name}.stop", future, time.monotonic()) for name, future in stopped.items()}
        for permit, future in listed:
            what = f"{permit.instrument}.{permit.action}"
            errors.setdefault(permit.instrument, []).extend(trouble(what, future, time.monotonic()))
        return errors

    def close(self) -> list[str]:
        """Say goodbye to every instrument and let go of every port; harmless twice. What went wrong, in words."""
        leaving = {
            name: station.port.submit(station.driver.close, name)
            for name, station in self.instruments.items()
            if not station.stranger
        }
        deadline_s = time.monotonic() + CLOSE_S
        errors: list[str] = []
        for name, future in leaving.items():
            errors += trouble(f"{name}.close", future, deadline_s)
        self.hanging = [why for port in self.ports.values() if (why := port.close())]
        return errors + self.hanging

    def _everywhere(
        self, names: Iterable[str], call: Callable[[Station], _T], within_s: float = ASKED_S
    ) -> dict[str, _T]:
        """Call on every instrument, every port at once; all are waited for before the first complaint is raised.

        One that has not returned ``within_s`` hangs in its driver (LinkTimeout).
        """
        calls = {name: self._on(self.instruments[name], call) for name in names}
        wait(calls.values(), within_s)
        complaints: list[BaseException] = []
        for name, future in calls.items():
            if not future.done():
                future.cancel()
                complaints.append(LinkTimeout(f"{name}: {self.instruments[name].port.hanging}"))
            elif (error := future.exception()) is not None:
                complaints.append(error)
        if complaints:
            for other in complaints[1:]:
                complaints[0].add_note(str(other))
            raise complaints[0]
        return {name: future.result() for name, future in calls.items()}

    def _on(self, station: Station, call: Callable[[Station], _T]) -> "Future[_T]":
        def named() -> _T:
            try:
                return call(station)
            except InstrumentFault as fault:
                raise InstrumentFault(f"{station.name} on {station.port.address}: {fault}", fault.kind) from fault

        return station.port.submit(named, station.name)


def connect_real(address: str, folder: Path = Path()) -> Port:
    """Open a real port by the address that a lab file in ``folder`` writes. Raises SpecError, LinkError."""
    return Port(open_link(address, folder))


def open_lab(lab: LabSpec, connect: Connect | None = None) -> Lab:
    """Load the drivers and open the ports of a lab (None: the real ones); nothing is said to any instrument yet.

    Raises SpecError before any port is opened, LinkError after closing those that were.
    """
    connect = connect or partial(connect_real, folder=lab.folder)
    declared = declare(lab)
    keys = port_keys(lab)
    safe_state = safe_state_of(lab, declared)
    written = {name: instrument.port or "" for name, instrument in lab.instruments.items()}
    ports: dict[str, Port] = {}
    try:
        for name, key in keys.items():
            if key not in ports:
                ports[key] = connect(written[name])
        stations = {
            name: Station(
                name=name,
                driver=one.driver(ports[keys[name]].exchange(name, written[name]), **one.options),
                port=ports[keys[name]],
                declaration=one,
            )
            for name, one in declared.items()
        }
    except LabloopError:
        for port in ports.values():
            port.close()
        raise
    return Lab(lab, stations, ports, safe_state)


def safe_state_of(
    lab: LabSpec, declared: Mapping[str, Declaration], campaign: CampaignSpec | None = None
) -> tuple[Permit, ...]:
    """What the lab's own list for the safe state does, permitted by the lab's limits: of what is declared.

    ``campaign``: its limits must permit it as well, which is seen before it has the bench.

    Raises SpecError, now and not when it is needed, for a list or a ``keep`` that cannot be done.
    """
    complaints = list(_keep_complaints(lab, declared))
    envelope = Envelope(_of_declared(lab, declared), campaign, declared)
    permits: list[Permit] = []
    kept = kept_of(lab)
    for step in (one for one in steps_of(lab.safe_state) if one.instrument in declared):
        action = declared[step.instrument].actions.get(step.action)
        if action is not None and action.stops and kept.get(step.instrument):
            names = ", ".join(one for one in lab.keep if one.partition(".")[0] == step.instrument)
            rule = f"{step.name} stops what keep names ({names}). Take it out of one of the two"
            complaints.append(lab.complaint(step.path, rule))
        try:
            permits.append(envelope.permit(step.instrument, step.action, _settings(step)))
        except LabloopError as error:
            complaints.append(lab.complaint(step.path, str(error)))
    if complaints:
        raise SpecError(*complaints)
    return tuple(permits)


def _of_declared(lab: LabSpec, declared: Mapping[str, Declaration]) -> LabSpec:
    """The lab without the limits of what is not declared; then without the rules that speak of several as well."""
    if lab.instruments.keys() <= declared.keys():
        return lab
    limits = tuple(one for one in lab.limits_written if one.instrument in declared)
    return lab.model_copy(update={"limits_written": limits, **{table: {} for table in TABLES}})


def _keep_complaints(lab: LabSpec, declared: Mapping[str, Declaration]) -> Iterator[str]:
    for at, name in enumerate(lab.keep):
        instrument, _, action = name.partition(".")
        if instrument not in declared:
            continue
        known = declared[instrument].keeps
        if action and action not in declared[instrument].actions:
            rule = f"{instrument} has no action {action}; {suggest(action, declared[instrument].actions)}"
            yield lab.complaint(("keep", at), rule)
        elif action and action not in known:
            able = f"It can keep {', '.join(known)}" if known else f"Write {instrument}, and all of it goes on"
            rule = f"a {declared[instrument].kind} cannot keep {action} and stop the rest. {able}"
            yield lab.complaint(("keep", at), rule)


def _settings(step: Step) -> dict[str, Amount]:
    """The settings of a step that depends on no trial."""
    settings: dict[str, Amount] = {}
    for name, written in step.settings.items():
        value = written.evaluate({}) if isinstance(written, Expression) else written
        if isinstance(value, Quantity):
            settings[name] = Amount(value.value, value.unit)
        else:
            settings[name] = Amount(value.text if isinstance(value, Text) else value)
    return settings


def _identified(station: Station) -> Identity:
    """Who answers; InstrumentFault where it is not who answered before. What must be told no stop is noted."""
    before = station.identity
    try:
        now = station.identify(*(before.model, before.serial) if before is not None else ())
        if before is not None and not now.is_still(before.model, before.serial):
            why = f"{now.model} {now.serial} answers where {before.model} {before.serial} was"
            raise InstrumentFault(f"{why}. Put the cables back, or begin a new run", kind="identity")
    except InstrumentFault as fault:
        if fault.kind == "identity":
            station.stranger = str(fault)
        raise
    station.stranger = ""
    station.identity = now if before is None else now.completed(before.firmware, before.serial)
    return station.identity


def wait_past(ports: Collection[Port], futures: Iterable["Future[Any]"], until_s: float) -> None:
    """Wait for what is asked on these ports, past every call that hangs and keeps others of its line waiting."""
    left = set(futures)
    while left and (left_s := until_s - time.monotonic()) > 0.0:
        left = wait(left, min(LOOK_S, left_s)).not_done
        for port in ports:
            port.pass_over()


def trouble(what: str, future: "Future[Any]", deadline_s: float) -> list[str]:
    """What went wrong with one call on the way to the safe state: nothing, or one complaint."""
    try:
        future.result(timeout=max(0.0, deadline_s - time.monotonic()))
    except FutureTimeout:
        return [f"{what}: its port did not answer in time"]
    except (BenchError, SpecError) as error:
        return [f"{what}: {error}"]
    except Exception as error:  # noqa: BLE001 a driver's own mistake must not keep the others from being stopped
        return [f"{what}: {type(error).__name__}: {error}"]
    return []
