"""The base of a driver: what every instrument does alike, so that a driver holds its manual and nothing else."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from labloop.campaign.errors import SpecError
from labloop.campaign.events import Amount, Reading, Stand, Value

from .instrument import Action, Exchange, Expected, Identity, Progress, Sent, Signal, Verdict, actions_of
from .settings import resolve


class Driver:
    """An instrument whose actions are its methods marked with ``@action``.

    A subclass writes open(), stop(), progress() and its actions, and overrides the rest where its manual has more to
    say. The class methods answer from the lab file's options alone, so that ``check`` needs no port.
    """

    kind: ClassVar[str] = ""
    signals: ClassVar[tuple[Signal, ...]] = ()
    keeps: ClassVar[tuple[str, ...]] = ()  # actions whose effect can go on while the rest is stopped

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        self.exchange = exchange
        self.options = options
        self.actions = self.declare(options)
        self.act = ""
        # What the lab allows, {setting: (least, most)} in declared units (None: no limit): for configure() of
        # an instrument that can hold limits of its own.
        self.limits: Mapping[str, tuple[float | None, float | None]] = {}

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def anyone(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options under which open() takes every instrument of its model, whatever name a person gave it."""
        return {option: value for option, value in options.items() if option != "name"}

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions with their limits for these options. Raises SpecError for options that make no sense."""
        return actions_of(cls)

    @classmethod
    def tells(cls, options: Mapping[str, Any]) -> tuple[Signal, ...]:
        """The signals with these options: the class's own, where they do not depend on them."""
        return cls.signals

    @classmethod
    def complaint(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> str:
        """What is wrong with these settings together, beyond the limits of each ("": nothing)."""
        return ""

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """What these settings come to on the wire, where that is not what was asked for, by setting.

        Rounded as it is said (80.06 degC is 80.1 to a plate that takes tenths), a setting that follows from the others
        (the volume of a rate and a time), a level that goes by another name in this action (the end of a sweep, as a
        voltage). Limits of lab and campaign bind these too. In declared units; several, where it can be any of them.
        """
        return {}

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """How long this will take and what it will have achieved, when all goes well."""
        return Expected()

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """Who makes it safe when this computer dies: the instrument's own watchdog, in words ("": nobody)."""
        return ""

    @classmethod
    def nudge(cls, options: Mapping[str, Any]) -> tuple[str, Mapping[str, Amount]] | None:
        """The smallest action by which a person sees which instrument this is, with its settings (None: nothing to
        see). stop() is sent after it; what is at_work() is left alone."""
        return None

    @classmethod
    def numbered(cls, options: Mapping[str, Any]) -> bool:
        """Whether open() tells a serial number, so that the lab file's ``serial`` can say which one is meant."""
        return False

    @classmethod
    def silence_s(cls, options: Mapping[str, Any]) -> float:
        """After how many real seconds without a ``pulse()`` its own watchdog acts (0: it has none, or it is off)."""
        return 0.0

    @classmethod
    def standing(cls, options: Mapping[str, Any]) -> Mapping[str, Amount]:
        """What it may come to be set to without an act, by setting: by configure(), or by its own watchdog."""
        return {}

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Ask who is there, and read; set nothing. Raises InstrumentFault when it is something else."""
        raise NotImplementedError

    def configure(self) -> None:
        """Send the lab's settings, those that differ."""

    def changed(self) -> str:
        """What configure() has changed since this was asked last, in words ("": nothing): of what outlives a power cut.

        It stands in the journal then, as a note.
        """
        return ""

    def read(self) -> Mapping[str, Reading]:
        """What the instrument says about itself now, by signal."""
        return {}

    def glance(self) -> Iterator[tuple[str, Reading]]:
        """The same where time is short (before the guard stops it): what matters most first, asked as it is taken."""
        yield from self.read().items()

    def pulse(self) -> None:
        """Tell the instrument's own watchdog that somebody is there; sent while a run lives, and whenever it is due."""

    def at_work(self) -> str:
        """What it is at that stop() would end, in words ("": nothing). Asked before it is moved to be seen (nudge)."""
        return ""

    def counters(self) -> Mapping[str, Amount]:
        """The instrument's own counters: the evidence of what it did."""
        return {}

    def stands(self) -> Mapping[str, Stand]:
        """What stands there until somebody changes it at its keys: set values, positions, counters; read-only.

        Asked when it is at rest. Nothing that changes by itself, and nothing that is on its way. True is for what goes
        on (a heater, a programme). A set value bears its setting's name.
        """
        return {}

    def needs_clear(self, counters: Mapping[str, Amount]) -> bool:
        """Whether the counters must be cleared (clear_counters(), a fact of its own) to see the next act well."""
        return False

    def clear_counters(self) -> None:
        """Wipe the instrument's counters; the runner writes that down first."""

    def prepare(self, action: str, settings: Mapping[str, Value], act: str) -> None:
        """Get everything ready for an action and begin nothing; may be repeated, and begin() works without it.

        Worth writing where beginning takes more than one exchange and actions are to begin at the same moment.
        """

    def begin(self, action: str, settings: Mapping[str, Value], act: str) -> None:
        """Begin an action: ``settings`` as {argument: value} in declared units; ``act`` is the act's identity."""
        if action not in self.actions:
            raise SpecError(f"{self.kind} has no action {action!r}")
        self.act = act
        getattr(self, action)(**settings)

    def progress(self, elapsed_s: float) -> Progress:
        """One look at the action that was begun ``elapsed_s`` ago."""
        raise NotImplementedError

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """What became of an act, asked read-only: here, nobody can tell."""
        return Verdict(state="cannot_tell", why=f"{self.kind} keeps no record of {action}")

    def rejoin(
        self, action: str, settings: Mapping[str, Value], act: str, kept: Mapping[str, Amount], elapsed_s: float,
        unwatched_s: float,
    ) -> None:  # fmt: skip
        """Take up the watching of an action that happened() says still runs; progress() goes on. Nothing is sent.

        ``kept``: what counters() said before it began, and what progress() said was to be remembered. ``elapsed_s``:
        since it began; ``unwatched_s``: how long of that nobody watched, until now.
        """
        self.act = act

    def witnessed(
        self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], after: Mapping[str, Amount],
        first_reply: str,
    ) -> Verdict:  # fmt: skip
        """What became of an act that the guard stopped: here, nobody can tell. Nothing is asked.

        ``after``: counters() as the guard read them when all stood still. ``first_reply``: what its open() heard first.
        """
        return Verdict(state="cannot_tell", why=f"{self.kind} keeps no record of {action}")

    @property
    def alarm(self) -> str:
        """What was told once and spoils the evidence of what was begun; "": nothing.

        An alarm that was heard, and so cleared, since configure(); or that an answer was lost which may have been one.
        """
        return ""

    @property
    def taken(self) -> str:
        """What tells that the act that was begun last has been taken, where that decides later what became of it.

        It is written down before anything else is asked. "": its counters decide without it, or it is at nothing.
        """
        return ""

    def overheard(self, first_reply: str | None) -> None:
        """Take note of what another process heard in our place: a first reply, what its ``alarm`` or ``taken`` said.

        None: somebody asked, and ended before the answer was written down.
        """

    def brake(self) -> None:
        """Say the one thing that ends motion soonest, and wait for no answer; stop() follows and makes sure.

        Worth writing where several instruments share a line, so that the last one is not stopped after the others.
        """

    def stop(self) -> None:
        """Bring it to the safe side; always allowed, harmless twice."""
        raise NotImplementedError

    def stop_except(self, kept: frozenset[str]) -> None:
        """The same, but for what the actions ``kept`` (some of ``keeps``) began."""
        raise NotImplementedError

    def close(self) -> None:
        """Say goodbye where the protocol wants one; the port is not the driver's."""

    # --- words for subclasses -----------------------------------------------------------------------------------

    def resolved(self, action: str, settings: Mapping[str, Amount]) -> dict[str, Value]:
        """Journaled settings as {argument: value} in declared units."""
        return resolve(self.actions[action], settings)
