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
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.events import Amount, Value
from labloop.campaign.formula import Expression
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.steps import Step, Text, steps_of
from labloop.campaign.units import Quantity

from .address import parse_address
from .errors import BenchError, InstrumentFault, LinkInterrupted, LinkTimeout, ProtocolError
from .instrument import Action, Expected, Identity, Instrument, Signal
from .loading import load_class
from .messages import keys_of
from .port import Port
from .settings import resolve, suggest
from .transport import open_link

_T = TypeVar("_T")

Connect = Callable[[str], Port]

# stop() of the slowest driver is a handful of exchanges of 0.3 s on a dead line; five drivers share a port at most in
# the shipped lab. Beyond this an instrument is reported as not stopped (test_lab: a port that hangs).
SAFE_S = 10.0
# A sound line has stopped what is on it long before; the lab's own list does not wait longer for a dead one.
LIST_AFTER_S = 2.0
# Saying goodbye is a courtesy of one exchange; a line that does not answer is let go without it.
CLOSE_S = 1.0

_NEEDED = ("open", "configure", "begin", "progress", "stop", "declare")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What is known of an instrument without opening its port."""

    name: str
    driver: type[Any]
    options: Mapping[str, Any]
    actions: Mapping[str, Action]
    signals: Mapping[str, Signal]
    place: str

    @property
    def kind(self) -> str:
        return str(self.driver.kind)

    @property
    def watchdog(self) -> str:
        """Who makes it safe when this computer dies ("": nobody)."""
        return str(self.driver.watchdog(self.options))

    def complaint(self, action: str, values: Mapping[str, Any]) -> str:
        """What is wrong with these settings together ("": nothing)."""
        return str(self.driver.complaint(action, values, self.options))

    def expected(self, action: str, values: Mapping[str, Any]) -> Expected:
        """How long it will take and what it will have achieved."""
        found: Expected = self.driver.expected(action, values, self.options)
        return found


@dataclass(slots=True, kw_only=True)
class Station:
    """One instrument of an open lab: its driver, its port, what it declares and who it said it is."""

    name: str
    driver: Instrument
    port: Port
    declaration: Declaration
    identity: Identity | None = None
    stranger: str = ""  # in words: something else answers in its place, which must not be told anything

    @property
    def actions(self) -> Mapping[str, Action]:
        return self.declaration.actions

    @property
    def signals(self) -> Mapping[str, Signal]:
        return self.declaration.signals


@dataclass(slots=True)
class Lab:
    """An open lab. Ports are open; instruments are silent until open() is called."""

    spec: LabSpec
    instruments: dict[str, Station]
    ports: dict[str, Port] = field(default_factory=dict)

    def open(self) -> dict[str, Identity]:
        """Identify every instrument, setting nothing; every port at once. Raises the first complaint."""
        for name, identity in self._everywhere(self.instruments, lambda station: station.driver.open()).items():
            self.instruments[name].identity = identity
        return {name: station.identity for name, station in self.instruments.items() if station.identity}

    def configure(self) -> None:
        """Send the lab's settings to every instrument; only after recovery has asked. Raises the first complaint."""
        self._everywhere(self.instruments, lambda station: station.driver.configure())

    def reopen(self, name: str) -> dict[str, Identity]:
        """Open the port of a lost instrument again and make sure that the same instruments answer on it: who does.

        Raises LinkError while the port is away, InstrumentFault when something else answers.
        """
        port = self.instruments[name].port
        port.reopen()
        sharing = [one for one, station in self.instruments.items() if station.port is port]
        found = self._everywhere(sharing, lambda station: station.driver.open())
        for one, now in found.items():
            before = self.instruments[one].identity
            if before is not None and (before.model, before.serial) != (now.model, now.serial):
                why = f"{now.model} {now.serial} answers where {before.model} {before.serial} was"
                self.instruments[one].stranger = why
                raise InstrumentFault(
                    f"{one} on {port.address}: {why}. Put the cables back, or begin a new run", kind="identity"
                )
            self.instruments[one].identity = now
        return found

    def safe(self) -> list[str]:
        """Bring the bench to its safe state, going on past every error; what went wrong, in words."""
        errors: list[str] = []
        for port in self.ports.values():
            port.interrupt()
        sparing = spared(self.spec)
        strangers = {name for name, station in self.instruments.items() if station.stranger}
        errors += [f"{name}: {self.instruments[name].stranger}; nothing was said to it" for name in sorted(strangers)]
        stopping = {
            name: station for name, station in self.instruments.items() if name not in sparing and name not in strangers
        }
        # What goes wrong in braking goes wrong in stopping too, and is said there.
        braking = [station.port.submit(station.driver.brake) for station in stopping.values() if _brakes(station)]
        began_s = time.monotonic()
        stopped = {
            name: station.port.submit(partial(stop, station.driver, began_s + LIST_AFTER_S))
            for name, station in stopping.items()
        }
        wait([*braking, *stopped.values()], LIST_AFTER_S)
        listed = []
        for step in (step for step in steps_of(self.spec.safe_state) if step.instrument not in strangers):
            future = self._do(step)
            wait([future], LIST_AFTER_S)
            listed.append((f"{step.instrument}.{step.action}", future))
        for name, future in stopped.items():
            errors += trouble(f"{name}.stop", future, began_s + SAFE_S)
        for what, future in listed:
            errors += trouble(what, future, time.monotonic() + SAFE_S)
        return errors

    def close(self) -> list[str]:
        """Say goodbye to every instrument and let go of every port; harmless twice. What went wrong, in words."""
        leaving = {
            name: station.port.submit(station.driver.close)
            for name, station in self.instruments.items()
            if not station.stranger
        }
        deadline_s = time.monotonic() + CLOSE_S
        errors: list[str] = []
        for name, future in leaving.items():
            errors += trouble(f"{name}.close", future, deadline_s)
        for port in self.ports.values():
            port.close()
        return errors

    def _do(self, step: Step) -> "Future[None]":
        station = self.instruments[step.instrument]
        return station.port.submit(partial(begin_step, station, step))

    def _everywhere(self, names: Iterable[str], call: Callable[[Station], _T]) -> dict[str, _T]:
        """Call on every instrument, every port at once; all are waited for before the first complaint is raised."""
        calls = {name: self._on(self.instruments[name], call) for name in names}
        complaints = [error for future in calls.values() if (error := future.exception()) is not None]
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

        return station.port.submit(named)


def spared(lab: LabSpec) -> frozenset[str]:
    """The instruments that the safe state does not stop."""
    return frozenset(name.partition(".")[0] for name in lab.keep)


def begin_step(station: Station, step: Step) -> None:
    """Begin a step of the lab's list for the safe state. Raises BenchError, SpecError."""
    station.driver.begin(step.action, _settled(step, station.actions[step.action]), "safe")


def stop(driver: Instrument, until_s: float) -> None:
    """Stop it, and once more when its answer was lost or makes no sense; not on a line that is dead."""
    try:
        driver.stop()
    except LinkInterrupted:
        raise
    except (LinkTimeout, ProtocolError):
        if time.monotonic() > until_s:
            raise
        driver.stop()


def _brakes(station: Station) -> bool:
    return callable(getattr(station.driver, "brake", None))


def driver_class(lab: LabSpec, name: str) -> type[Any]:
    """The driver class of one instrument. Raises SpecError naming the place in the lab file."""
    place = f"{lab.place(('instruments', name, 'driver'))}: instruments.{name}.driver"
    found = load_class(lab.instruments[name].driver, lab.root, place)
    missing = [method for method in _NEEDED if not callable(getattr(found, method, None))]
    if missing:
        raise SpecError(f"{place}: {found.__name__} is no driver: it has no {', '.join(missing)}")
    return found


def declare(lab: LabSpec) -> dict[str, Declaration]:
    """What every instrument of a lab declares, with no port opened. Raises SpecError with all complaints."""
    declared: dict[str, Declaration] = {}
    complaints: list[str] = []
    for name, instrument in lab.instruments.items():
        place = f"{lab.place(('instruments', name))}: instruments.{name}"
        try:
            driver = driver_class(lab, name)
        except SpecError as error:
            complaints += error.complaints
            continue
        try:
            actions = driver.declare(instrument.options)
        except SpecError as error:
            complaints += [f"{place}: {line}" for line in error.complaints]
            continue
        declared[name] = Declaration(
            name=name,
            driver=driver,
            options=dict(instrument.options),
            actions=actions,
            signals={signal.name: signal for signal in _signals(driver, instrument.options)},
            place=place,
        )
    if complaints:
        raise SpecError(*complaints)
    return declared


def _signals(driver: type[Any], options: Mapping[str, Any]) -> tuple[Signal, ...]:
    tells = getattr(driver, "tells", None)
    return tuple(tells(options) if callable(tells) else driver.signals)


def port_keys(lab: LabSpec) -> dict[str, str]:
    """{instrument: the address of the line it is on}. Raises SpecError for one device with two line settings."""
    keys: dict[str, str] = {}
    places: dict[tuple[str, str], str] = {}
    for name, instrument in lab.instruments.items():
        place = f"{lab.place(('instruments', name, 'port'))}: instruments.{name}"
        try:
            if instrument.port is None:
                raise SpecError("port is missing. Write the address of its line, like serial:///dev/ttyUSB0?baud=9600")
            address = parse_address(instrument.port)
        except SpecError as error:
            raise SpecError(f"{place}.{error}") from error
        keys[name] = address.port_key
        line = (address.scheme, address.place)
        first = places.setdefault(line, name)
        if keys[first] != keys[name]:
            raise SpecError(
                f"{place}.port = {instrument.port!r} is the same line as that of {first}, with other settings "
                f"({keys[first]}). Write them alike"
            )
    return keys


def key_complaints(lab: LabSpec) -> list[str]:
    """What is wrong with the key files that the lab's addresses name; only a live run needs them."""
    complaints = []
    for name, instrument in lab.instruments.items():
        place = f"{lab.place(('instruments', name, 'port'))}: instruments.{name}"
        try:
            keys_of(parse_address(instrument.port or ""), lab.folder)
        except SpecError as error:
            complaints += [f"{place}.{line}" for line in error.complaints]
    return complaints


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
    _refuse_unsafe_state(lab, declared)
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
    return Lab(lab, stations, ports)


def _refuse_unsafe_state(lab: LabSpec, declared: Mapping[str, Declaration]) -> None:
    """Find out now, not when it is needed, that the lab's list for the safe state cannot be done."""
    complaints: list[str] = []
    for step in steps_of(lab.safe_state):
        actions = declared[step.instrument].actions
        if step.action not in actions:
            complaints.append(lab.complaint(step.path, f"{step.name} is no action; {suggest(step.action, actions)}"))
            continue
        try:
            _settled(step, actions[step.action])
        except LabloopError as error:
            complaints.append(lab.complaint(step.path, str(error)))
    if complaints:
        raise SpecError(*complaints)


def _settled(step: Step, action: Action) -> dict[str, Value]:
    """The settings of a step that depends on no trial, as {argument: value}."""
    settings: dict[str, Amount] = {}
    for name, written in step.settings.items():
        value = written.evaluate({}) if isinstance(written, Expression) else written
        if isinstance(value, Quantity):
            settings[name] = Amount(value.value, value.unit)
        else:
            settings[name] = Amount(value.text if isinstance(value, Text) else value)
    return resolve(action, settings)


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
