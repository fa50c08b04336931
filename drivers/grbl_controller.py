"""What is said to a GRBL controller, whatever it drives: who it is, what it does, what became of an act.

GRBL keeps no record of what it did, but it keeps the feed of the last F word until it is reset, and ``$G`` tells it. No
motion of ours goes by that feed (jogs have their own, a spindle none), so it carries marks: an act begins with the F of
its own number. After a crash the mark that stands says whether the act was begun, and a feed of 0 that the controller
was reset since (power, its reset button, or the DTR line when the port was opened): then nobody can tell.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence

from labloop.bench import (
    BenchError,
    Exchange,
    Identity,
    InstrumentFault,
    LinkTimeout,
    ProtocolError,
    Stand,
    Sure,
    twice_alike,
)

from .grbl_codec import (
    ALARMS,
    ERRORS,
    HOME,
    HOMED,
    LISTEN,
    RESET,
    SILENT,
    STATUS,
    TOLD,
    Command,
    GrblCodec,
    Reply,
    Report,
    feed_of,
    settings_of,
)

# GRBL reports within 20 ms and takes a line as soon as it has room for it; a second is a loaded machine's worst.
ANSWER_S = 1.0
# To one that did not answer before, a stop gives this: it homes, most likely, and goes on until it is reset.
STOP_S = 0.1
# What $H can be refused for; any other error is one of a line that was damaged on the way.
NOT_HOMED_FOR = (5, 8)
# Opening the port pulls DTR, and an Arduino then listens to its boot loader for up to two seconds.
BOOT_S = 3.0

# While it moves or spins no more can be told than this, so no more of it may be the model's name.
MODEL = "Grbl 1.1"
VERSION = re.compile(r"\[VER:(1\.1[a-z]?)\.(\d{8}):(.*)\]")
# States in which it moves, or will when somebody lets it.
MOVING = ("Run", "Jog", "Home", "Hold", "Door")
# Why it does not go on, in every state but Idle and Alarm.
STOPPED_BY = {
    "Hold": ("paused", "a feed hold stopped it: its hold button, or another program"),
    "Door": ("door", "its door is open"),
    "Sleep": ("off", "it sleeps, its motors are off; reset and home it"),
    "Check": ("setup", "it is in check mode ($C) and moves nothing"),
    "Run": ("busy", "it runs a program of somebody else"),
    "Jog": ("busy", "it moves"),
    "Home": ("busy", "it homes"),
}


class Controller:
    """One GRBL on its port.

    ``name``: what it must call itself ($I=...), or "" for any. ``unlock``: what a person does when it is locked.
    """

    def __init__(self, exchange: Exchange, name: str, unlock: str) -> None:
        self._exchange = exchange
        self._codec = GrblCodec()
        self._name = name
        self._unlock = unlock
        self._sure = Sure()
        self._answers = False  # whether it answered the last time that its state was asked for

    # --- questions ----------------------------------------------------------------------------------------------

    def identify(self) -> Identity:
        """Who is there. Raises InstrumentFault when it is another one."""
        try:
            report = self.report()
        except LinkTimeout:
            report = self._report_after_boot()
        if report.state in MOVING or report.speed:
            # Lines wait until a motion or a spin is over: all that can be told is that a GRBL 1.1 reports.
            return Identity(model=MODEL, first_reply=repr(report.text), busy=True)
        version = twice_alike(lambda: self._answered("$I"), "$I").lines[0]
        match = VERSION.fullmatch(version)
        if match is None:
            raise InstrumentFault(f"{version!r} answers where GRBL 1.1 was expected", kind="identity")
        if self._name and match[3] != self._name:
            raise InstrumentFault(
                f"{version!r} answers ($I) where a GRBL that calls itself {self._name!r} was expected. If it is the "
                f"right one, it was never given its name: send it $I={self._name} once",
                kind="identity",
            )
        firmware = f"{match[1]}.{match[2]}"
        return Identity(model=MODEL, firmware=firmware, serial=match[3], first_reply=repr(report.text))

    def _report_after_boot(self) -> Report:
        try:
            report: Report = self._exchange(self._codec, Command(STATUS), BOOT_S)
        except LinkTimeout as error:
            raise LinkTimeout(
                f"{error}. A GRBL that homes, or that a limit switch has locked, does not answer: wait, or press its "
                "reset button"
            ) from error
        self._answers = True
        return report

    def report(self, *, stopping: bool = False) -> Report:
        """State and position now. Raises LinkTimeout, also while it homes and when a limit switch has locked it.

        ``stopping``: it is waited for only as long as its last answer gives reason to.
        """
        if self._codec.homing == SILENT:  # what it said of its homing since must not be thrown away as stale
            self._exchange(self._codec, Command(LISTEN), 0.0)
        within_s = STOP_S if stopping and not self._answers else ANSWER_S
        try:
            report: Report = self._exchange(self._codec, Command(STATUS), within_s)
        except LinkTimeout:
            self._answers = False
            if self._codec.homing == TOLD:
                self._codec.homing = SILENT
            raise
        self._answers = True
        return report

    def sure(self) -> Report:
        """A report that is made sure of (a moving one never is the same twice)."""
        first = self.report()
        if first.state in MOVING:
            return first
        return self._sure.ask(lambda: _bare(self.report()), "?")

    def settings(self) -> dict[int, float]:
        """What it is set to, by number."""
        return twice_alike(lambda: settings_of(self._answered("$$")), "$$")

    def standing(self, numbers: Sequence[int]) -> dict[str, Stand]:
        """These of its settings, as ``$100``: it keeps them without power, and nobody but a person changes them."""
        settings = self.settings()
        return {f"${number}": Stand(value=settings[number]) for number in numbers if number in settings}

    def mark(self) -> int:
        """The mark that stands (0: it was reset since the last act)."""
        return twice_alike(lambda: feed_of(self._answered("$G")), "$G")

    # --- orders -------------------------------------------------------------------------------------------------

    def order(self, line: str) -> None:
        """One line (or several at once: then until the first is done). Raises InstrumentFault when it is refused."""
        self._believe(line, self._line(line))

    def order_whole(self, lines: Sequence[str]) -> None:
        """Lines that are sent at once: until the first is done. When it is refused, all that it was told is forgotten.

        Raises InstrumentFault, ProtocolError; the others would have been done all the same.
        """
        reply = self._line("\n".join(lines))
        try:
            self._believe(lines[0], reply)
        except BenchError:
            self.reset_surely()
            raise

    def home(self) -> None:
        """Begin to home. Raises InstrumentFault when that is refused, ProtocolError when it stands still instead."""
        self._answers = False  # not until it has homed
        self._exchange(self._codec, Command(HOME, answered=False), ANSWER_S)
        self._exchange(self._codec, Command(LISTEN), 0.0)  # a refusal that is there already is not thrown away
        try:
            report = self.report()
        except LinkTimeout:
            return  # as while it homes
        if self._codec.refused in NOT_HOMED_FOR:
            self._believe(HOME, Reply(error=self._codec.refused))
        if report.state != "Home":
            raise ProtocolError(f"it was told to home ({HOME}) and reports the state {report.state}")

    @property
    def homed(self) -> bool:
        """Whether the last $H was taken, by what it said since: its ok, or that it homes."""
        return self._codec.homing == HOMED

    @property
    def stood_still(self) -> bool:
        """Whether it has answered every question since the last $H, as it does not while it homes."""
        return self._codec.homing == TOLD

    def now(self, byte: str) -> None:
        """A byte that acts at once."""
        self._exchange(self._codec, Command(byte), ANSWER_S)

    def reset(self) -> None:
        """End everything at once; its banner says that it did. Motion that is cut short loses the position."""
        self.now(RESET)

    def reset_surely(self) -> None:
        """The same, said again where its banner stays out: one byte may be lost on the line. Raises LinkTimeout."""
        try:
            self.reset()
        except LinkTimeout:
            self.reset()

    def demand_idle(self) -> Report:
        """A report that allows to begin something. Raises InstrumentFault with what keeps it from that."""
        report = self.sure()
        if report.state == "Alarm":
            raise InstrumentFault(f"it is locked after an alarm or a power-up: {self._unlock}", kind="not_homed")
        if report.state in ("Jog", "Home") or report.speed:
            raise InstrumentFault("it is at something already", kind="busy")
        if report.state != "Idle":
            raise self.stopped_by(report.state)
        return report

    # --- complaints ---------------------------------------------------------------------------------------------

    def stopped_by(self, state: str) -> InstrumentFault:
        """Why it does not go on."""
        if state == "Alarm":
            kind, why = ALARMS.get(self._codec.alarm, ("alarm", "it is locked by an alarm"))
            return InstrumentFault(f"{why}: {self._unlock}", kind=kind)
        kind, why = STOPPED_BY[state]
        return InstrumentFault(why, kind=kind)

    def refuse_wrong(self, settings: Mapping[int, float], wanted: Mapping[int, tuple[float, str]]) -> None:
        """Raise InstrumentFault for settings that are not as ``wanted`` ({number: (value, what it means)})."""
        for number, (value, meaning) in wanted.items():
            if settings.get(number) != value:
                raise InstrumentFault(
                    f"${number} is {settings.get(number)} where {value:g} is needed ({meaning}): send it ${number}="
                    f"{value:g}, or change the lab file",
                    kind="setup",
                )

    def _answered(self, line: str) -> Reply:
        return self._believe(line, self._line(line))

    def _line(self, line: str) -> Reply:
        reply: Reply = self._exchange(self._codec, Command(line), ANSWER_S)
        return reply

    def _believe(self, line: str, reply: Reply) -> Reply:
        if reply.error:
            why = ERRORS.get(reply.error, "see doc/csv/error_codes of GRBL")
            if reply.error in (1, 2, 3, 11):  # ours is always sound: it was damaged on the way
                raise ProtocolError(f"{line!r} was answered error:{reply.error} ({why})")
            raise InstrumentFault(f"{line!r} was refused: {why} (error:{reply.error})", kind="refused")
        if reply.alarm:
            raise self.stopped_by("Alarm")
        if reply.banner:
            raise InstrumentFault(f"it was reset while {line!r} was sent", kind="reset")
        return reply


def marks(act: str) -> tuple[int, int]:
    """The feeds that mark the beginning and the end of an act, in whole mm/min."""
    number = int(hashlib.sha256(act.encode()).hexdigest()[:8], 16) % 40_000 + 1
    return 2 * number, 2 * number + 1


def _bare(report: Report) -> Report:
    """Without what comes in some reports only."""
    return Report(report.state, report.sub, report.machine, report.where, report.feed, report.speed, "")
