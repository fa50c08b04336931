"""What a driver is: the words it is written in, and what it declares about itself.

A driver is a plain synchronous class over one Port. It never waits and never sleeps: each method makes its few
exchanges and returns; polling, deadlines and clocks belong to the runner. Its life:

    open()       identify and read only; raise InstrumentFault when something else answers
    configure()  send the lab's settings (diameter, watchdog); called after recovery has asked
    before each act:  counters() -> what the instrument's own counters say
    prepare(action, ...)   all that can be sent ahead, so that actions of one stage begin at the same moment
    <action>(**settings)   begin it: the exchanges that start it, then return
    progress(elapsed_s)    one look: is it done, what was achieved, what was read
    brake()      one command that ends motion soonest, its answer not waited for; stop() follows
    stop()       to the safe side, always allowed, harmless twice
    stands()     at rest: what somebody may change at its own keys, read-only
    read(), pulse()        between all this, at any time: what it reads now, and that somebody is there
    happened(action, settings, before, act) -> Verdict    after a crash: what became of an act, asked read-only
    rejoin(...)  after a crash: take up the watching of an action that still runs (declared: ``rejoins``)

An action is a method marked with ``@action(...)``: the declaration is data that ``check``, the safety layer, the
dashboard and the docs read without opening a port.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar, runtime_checkable

from labloop.campaign.events import Amount, Reading, Stand, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of an action: its name in YAML, the method's argument, unit and the instrument's own limits.

    ``low``/``high`` are in ``unit`` (None: no limit of its own). ``choices``: the words allowed (unit is then "").
    ``difference``: a temperature difference (1 K is 1 degC). ``required`` is False when ``default`` holds.
    ``zero``: exactly 0 is allowed below ``low`` too (a pump asked for nothing does nothing).
    ``resolution``: the smallest difference the instrument can make; smaller wishes are fiction (None: not declared).
    """

    name: str
    argument: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    default: Value | None = None
    required: bool = True
    difference: bool = False
    zero: bool = False
    resolution: float | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One thing the instrument can say about itself: what read() and a limit on a reading name.

    ``unit``: of an array, that of its values; ``axis``: that of the axis they stand on ("": not known).
    """

    name: str
    unit: str = ""
    array: bool = False
    axis: str = ""
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What an instrument can do. ``act``: it changes matter. ``repeatable``: doing it twice harms nothing.

    ``gives``: the readings it ends with; the first is what ``save_as`` keeps. ``evidence``: how happened() can tell
    afterwards, in words ("" : it cannot). ``remainder``: the rest of a half-done act can be delivered.
    ``holds``: it only keeps a condition for a time (cut short, the sample is judged by the recipe).
    ``rejoins``: when happened() says that it still runs, rejoin() takes its watching up again; it is not begun anew.
    ``amount``: the achieved amount that says how much was done, drawn from stock when the instrument has one;
    ``fills``: it goes into the stock instead (a syringe drawn up).
    ``stops``: it ends whatever the instrument does, as stop() would. ``falls_back``: when it is over, the instrument
    goes back to a setting of its own.
    """

    name: str
    settings: tuple[Setting, ...] = ()
    gives: tuple[Signal, ...] = ()
    act: bool = False
    repeatable: bool = False
    holds: bool = False
    rejoins: bool = False
    evidence: str = ""
    remainder: bool = False
    amount: str = ""
    fills: bool = False
    stops: bool = False
    falls_back: bool = False
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who answered, and the first thing it said (repr of the bytes).

    ``busy``: it is at something and could not be asked for more than its model; what is empty here is not known.
    """

    model: str
    firmware: str = ""
    serial: str = ""
    first_reply: str = ""
    busy: bool = False

    def is_still(self, model: str, serial: str) -> bool:
        """Whether it is the one that called itself so before, by all that was told then and now."""
        return self.model == model and (serial in ("", self.serial) or (self.busy and not self.serial))

    def has_number(self, serial: str) -> bool:
        """Whether this is its serial number ("": any is). Zeros in front do not count; who is busy was not asked."""
        return serial == "" or serial.lstrip("0") == self.serial.lstrip("0") or (self.busy and not self.serial)

    def completed(self, firmware: str, serial: str) -> "Identity":
        """The same, with what it told before it was busy."""
        return replace(self, firmware=firmware, serial=serial) if self.busy else self


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One look at an action that was begun. ``again_in_s``: when it is worth looking again.

    ``kept``: what another process would need to know to take the watching up again; journaled whenever it changes.
    """

    done: bool
    achieved: Mapping[str, Amount] = field(default_factory=dict)
    readings: Mapping[str, Reading] = field(default_factory=dict)
    arrays: Mapping[str, bytes] = field(default_factory=dict)  # float64 little-endian; the runner keeps them as blobs
    again_in_s: float = 0.2
    kept: Mapping[str, Amount] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an action will take when all goes well: its time and what it will have achieved. Known without a port.

    ``least_s``: sooner than that it is never over (0: that may be at once). Where nobody saw it end, its sample's age
    counts from there. ``most_s``: its settings allow it so long (0: they do not say), though twice its time be over.
    """

    duration_s: float = 0.0
    least_s: float = 0.0
    most_s: float = 0.0
    achieved: Mapping[str, Amount] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of an act. ``state``: "done", "not_begun", "partial", "running", "cannot_tell"; ``why`` in words.

    ``achieved`` says how much for done and partial; ``remainder`` has the settings that would deliver the rest.
    """

    state: str
    why: str
    achieved: Mapping[str, Amount] = field(default_factory=dict)
    remainder: Mapping[str, Amount] = field(default_factory=dict)


# {setting: what stands on the wire for it}, in declared units (see Driver.sent).
Sent: TypeAlias = Mapping[str, tuple[float, ...]]


class Command(Protocol):
    """A frozen dataclass of one driver's: what is asked on the wire."""


class Codec(Protocol):
    """Sans-IO: commands to frames, bytes to replies. A serial message is one frame; a ZMQ message a list of them.

    ``encode``: the frames of one message. ``expects_reply``: False when the instrument answers this with silence.
    ``feed``: bytes (serial) or one whole message's frames (ZMQ) in; a reply out, or None when more is needed; raises
    ProtocolError, and nothing else, for what makes no sense. ``reset``: forget what was half read.

    A reply belongs to the command encoded last: feed() refuses one of another shape and passes over what is meant for
    others. ``probe``: a read-only question whose reply cannot be taken for the reply to ``command``; the link asks it
    to find its place again after an answer stayed out (None: replies carry ids, nothing can be mistaken).
    ``urgent``: a stop, which goes out even when the line's place is lost.

    A codec may have ``gap_s``: the silence its instrument wants on the line before it is spoken to, which the link
    keeps (left out: none). It may have ``listens(command)``: True for a command that says nothing and only takes what
    the instrument sends of its own accord; ``encode`` then gives no frames, and no answer is owed. It may have
    ``overhears(data)``: given what is thrown away before the next exchange while an answer of its own is still due, in
    any portions.
    """

    def encode(self, command: Any) -> list[bytes]: ...
    def expects_reply(self, command: Any) -> bool: ...
    def feed(self, data: bytes | list[bytes]) -> Any | None: ...
    def reset(self) -> None: ...
    def probe(self, command: Any) -> Any | None: ...
    def urgent(self, command: Any) -> bool: ...


@runtime_checkable
class Exchange(Protocol):
    """What a driver is handed: one exchange on its port, under the port's lock.

    Raises LinkError when the line fails, LinkTimeout when no whole answer came by the deadline. ``tell``: say it and
    wait for no answer; what is answered all the same is thrown away before the next exchange.
    """

    address: str

    def __call__(self, codec: Codec, command: Any, deadline_s: float) -> Any: ...
    def tell(self, codec: Codec, command: Any) -> None: ...


class Instrument(Protocol):
    """What the runner drives. ``options`` are the instrument's keys in lab.yaml beside driver, simulator and port."""

    kind: ClassVar[str]  # "New Era NE-1000 syringe pump"
    signals: ClassVar[tuple[Signal, ...]]
    keeps: ClassVar[tuple[str, ...]]
    limits: Mapping[str, tuple[float | None, float | None]]

    def __init__(self, exchange: Exchange, **options: Any) -> None: ...
    def open(self) -> Identity: ...
    def configure(self) -> None: ...
    def changed(self) -> str: ...
    def read(self) -> Mapping[str, Reading]: ...
    def glance(self) -> Iterator[tuple[str, Reading]]: ...
    def pulse(self) -> None: ...
    def at_work(self) -> str: ...
    def counters(self) -> Mapping[str, Amount]: ...
    def stands(self) -> Mapping[str, Stand]: ...
    def needs_clear(self, counters: Mapping[str, Amount]) -> bool: ...
    def clear_counters(self) -> None: ...
    def prepare(self, action: str, settings: Mapping[str, Value], act: str) -> None: ...
    def begin(self, action: str, settings: Mapping[str, Value], act: str) -> None: ...
    def progress(self, elapsed_s: float) -> Progress: ...
    def happened(
        self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str
    ) -> Verdict: ...
    def rejoin(
        self, action: str, settings: Mapping[str, Value], act: str, kept: Mapping[str, Amount], elapsed_s: float,
        unwatched_s: float,
    ) -> None: ...  # fmt: skip
    def witnessed(
        self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], after: Mapping[str, Amount],
        first_reply: str,
    ) -> Verdict: ...  # fmt: skip
    @property
    def alarm(self) -> str: ...
    @property
    def taken(self) -> str: ...
    def overheard(self, first_reply: str | None) -> None: ...
    def brake(self) -> None: ...
    def stop(self) -> None: ...
    def stop_except(self, kept: frozenset[str]) -> None: ...
    def close(self) -> None: ...


_Method = TypeVar("_Method", bound=Callable[..., Any])


def action(
    *settings: Setting,
    gives: tuple[Signal, ...] = (),
    act: bool = False,
    repeatable: bool = False,
    holds: bool = False,
    rejoins: bool = False,
    evidence: str = "",
    remainder: bool = False,
    amount: str = "",
    fills: bool = False,
    stops: bool = False,
    falls_back: bool = False,
) -> Callable[[_Method], _Method]:
    """Declare a method to be an action; its docstring's first line becomes the action's doc."""

    def mark(method: _Method) -> _Method:
        doc = (method.__doc__ or "").strip().splitlines()
        declared = Action(
            name=method.__name__,
            settings=settings,
            gives=gives,
            act=act,
            repeatable=repeatable,
            holds=holds,
            rejoins=rejoins,
            evidence=evidence,
            remainder=remainder,
            amount=amount,
            fills=fills,
            stops=stops,
            falls_back=falls_back,
            doc=doc[0] if doc else "",
        )
        method.__dict__["__action__"] = declared
        return method

    return mark


def actions_of(driver: type) -> dict[str, Action]:
    """The actions a driver class declares, by name, in the order they are written."""
    found: dict[str, Action] = {}
    for base in reversed(driver.__mro__):
        for name, member in vars(base).items():
            declared = getattr(member, "__action__", None)
            if isinstance(declared, Action):
                found[name] = declared
    return found
