"""What a lab file declares, read off its drivers without opening a port."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from labloop.campaign.errors import SpecError
from labloop.campaign.events import Amount
from labloop.campaign.lab_spec import LabSpec

from .address import parse_address
from .instrument import Action, Expected, Sent, Signal
from .loading import load_class
from .messages import keys_of

# In keep: an instrument named without an action.
EVERYTHING: Final = frozenset({"*"})
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
    serial: str = ""  # the serial number that the lab file asks for
    kept: frozenset[str] = frozenset()  # what the lab's keep names of it: actions, or EVERYTHING

    @property
    def kind(self) -> str:
        return str(self.driver.kind)

    @property
    def watchdog(self) -> str:
        """Who makes it safe when this computer dies ("": nobody)."""
        return str(self.driver.watchdog(self.options))

    @property
    def silence_s(self) -> float:
        """After how many real seconds without a pulse it makes itself safe (0: never)."""
        return float(self.driver.silence_s(self.options))

    @property
    def keeps(self) -> tuple[str, ...]:
        """The actions whose effect can go on while the rest of it is stopped."""
        return tuple(self.driver.keeps)

    def goes_on(self, action: str) -> bool:
        """Whether what this action began goes on in the safe state: it is kept, or sets what one that is kept sets."""
        if self.kept == EVERYTHING or action in self.kept:
            return True
        sets = {one.name for one in self.actions[action].settings} if action in self.actions else set()
        return any(sets & {one.name for one in self.actions[kept].settings} for kept in self.kept & self.actions.keys())

    @property
    def lasting(self) -> frozenset[str]:
        """The settings that stand until it is stopped; those of an amount say how it was moved, and remain true."""
        return frozenset(one.name for action in self.actions.values() if not action.amount for one in action.settings)

    @property
    def standing(self) -> Mapping[str, Amount]:
        """What it may be set to without an act: by configure(), or by its own watchdog."""
        found: Mapping[str, Amount] = self.driver.standing(self.options)
        return found

    def complaint(self, action: str, values: Mapping[str, Any]) -> str:
        """What is wrong with these settings together ("": nothing)."""
        return str(self.driver.complaint(action, values, self.options))

    def sent(self, action: str, values: Mapping[str, Any]) -> Sent:
        """What they come to on the wire, where that is something else."""
        tells = getattr(self.driver, "sent", None)
        found: Sent = tells(action, values, self.options) if callable(tells) else {}
        return found

    def expected(self, action: str, values: Mapping[str, Any]) -> Expected:
        """How long it will take and what it will have achieved."""
        found: Expected = self.driver.expected(action, values, self.options)
        return found

    def least_s(self, action: str, values: Mapping[str, Any]) -> float:
        """How long it takes at the least, in lab seconds."""
        return self.expected(action, values).least_s

    def most_s(self, action: str, values: Mapping[str, Any]) -> float:
        """How long it is waited for, in lab seconds: twice its time, or what its own settings allow."""
        expected = self.expected(action, values)
        return max(2.0 * expected.duration_s, expected.most_s)

    def lasts_s(self, action: str, values: Mapping[str, Any]) -> float:
        """How long it will take, in lab seconds."""
        return round(self.expected(action, values).duration_s, 3)


def driver_class(lab: LabSpec, name: str) -> type[Any]:
    """The driver class of one instrument. Raises SpecError naming the place in the lab file."""
    place = lab.named(("instruments", name, "driver"))
    found = load_class(lab.instruments[name].driver, lab.root, place)
    missing = [method for method in _NEEDED if not callable(getattr(found, method, None))]
    if missing:
        raise SpecError(f"{place}: {found.__name__} is no driver: it has no {', '.join(missing)}")
    return found


def declare(lab: LabSpec) -> dict[str, Declaration]:
    """What every instrument of a lab declares, with no port opened. Raises SpecError with all complaints."""
    declared: dict[str, Declaration] = {}
    complaints: list[str] = []
    for name in lab.instruments:
        try:
            declared[name] = _declare(lab, name)
        except SpecError as error:
            complaints += error.complaints
    if complaints:
        raise SpecError(*complaints)
    return declared


def declare_to_stop(lab: LabSpec) -> tuple[dict[str, Declaration], dict[str, Exception]]:
    """The same for who only stops it: an entry that is refused costs its own instrument and no other.

    Where it is refused for what tells one instrument of its kind from another (a name, a serial number, how many
    positions), it is declared as any of that kind: a stop is never wrong there. Also all that are refused as they
    stand, with why; whatever a driver raises, it is no reason to let the others run on.
    """
    declared: dict[str, Declaration] = {}
    refused: dict[str, Exception] = {}
    for name in lab.instruments:
        try:
            declared[name] = _declare(lab, name)
        except Exception as error:  # noqa: BLE001
            refused[name] = error
            with suppress(Exception):
                declared[name] = _declare(lab, name, anyone=True)
    return declared, refused


def _declare(lab: LabSpec, name: str, anyone: bool = False) -> Declaration:
    instrument = lab.instruments[name]
    place = lab.named(("instruments", name))
    driver = driver_class(lab, name)
    options, serial = instrument.options, instrument.serial or ""
    if anyone and callable(getattr(driver, "anyone", None)):
        options, serial = dict(driver.anyone(options)), ""
    try:
        actions = driver.declare(options)
    except SpecError as error:
        raise SpecError(*(f"{place}: {line}" for line in error.complaints)) from error
    if serial and not _numbered(driver, options):
        raise SpecError(
            f"{lab.named(('instruments', name, 'serial'))} = {serial!r}: a "
            f"{driver.kind} tells no serial number. Take it out; `labloop instruments LAB --walk` shows which one "
            "is meant"
        )
    return Declaration(
        name=name,
        driver=driver,
        options=dict(options),
        actions=actions,
        signals={signal.name: signal for signal in _signals(driver, options)},
        place=place,
        serial=serial,
        kept=kept_of(lab).get(name, frozenset()),
    )


def kept_of(lab: LabSpec) -> dict[str, frozenset[str]]:
    """What must not stop: {instrument: its actions}, or EVERYTHING of it."""
    kept: dict[str, frozenset[str]] = {}
    for name in lab.keep:
        instrument, _, action = name.partition(".")
        before = kept.get(instrument, frozenset())
        kept[instrument] = EVERYTHING if not action or before == EVERYTHING else before | {action}
    return kept


def _signals(driver: type[Any], options: Mapping[str, Any]) -> tuple[Signal, ...]:
    tells = getattr(driver, "tells", None)
    return tuple(tells(options) if callable(tells) else driver.signals)


def _numbered(driver: type[Any], options: Mapping[str, Any]) -> bool:
    """Whether it can tell a serial number; of a driver that does not say, it is seen when it is opened."""
    numbered = getattr(driver, "numbered", None)
    return not callable(numbered) or bool(numbered(options))


def port_keys(lab: LabSpec) -> dict[str, str]:
    """{instrument: the address of the line it is on}. Raises SpecError for one device with two line settings."""
    keys: dict[str, str] = {}
    places: dict[tuple[str, str], str] = {}
    for name, instrument in lab.instruments.items():
        place = lab.named(("instruments", name, "port")).removesuffix(".port")
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
        place = lab.named(("instruments", name, "port")).removesuffix(".port")
        try:
            keys_of(parse_address(instrument.port or ""), lab.folder)
        except SpecError as error:
            complaints += [f"{place}.{line}" for line in error.complaints]
    return complaints
