"""New Era NE-1000 syringe pump (WPI's Aladdin), over RS-232; and, where the lab file names it, another of its family.

Source: NE-1000 user manual, publication 1200-01, firmware V3.9 ("manual" below). What matters of it:

* 19200 8N1; up to 100 pumps share a line, told apart by address. A command is ``<address><text>CR``; the answer is
  ``STX <two digits> <status> <data> ETX``, nothing after it (manual 10.2).
* Numbers have at most four digits, three of them behind the point (manual 10.2.1).
* While an alarm stands (``A?R`` power-up, ``A?S`` stall, ``A?T`` watchdog), the command that meets it is answered with
  the alarm and not done; that answer clears it.
* The volumes dispensed (``DIS``) are the evidence of what was done. A power-up and a new diameter clear them, and with
  four digits they grow coarse: so the driver sets the diameter only when it differs, and asks for a clearing at 100 uL.
* A pumping program runs on into its next phase: phase 2 must be STP, or the pump goes on after its volume.
* ``STP`` pauses, a second ``STP`` stops; ``RUN`` on a paused pump would go on with the old program.
* Safe mode: frames with length and CRC, and a watchdog that stops the pump when nobody speaks for ``SAF`` seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from labloop.bench import (
    Action,
    Amount,
    Driver,
    Exchange,
    Expected,
    Identity,
    InstrumentFault,
    Progress,
    ProtocolError,
    Reading,
    SafetyError,
    Sent,
    Signal,
    Stand,
    Value,
    Verdict,
    action,
    written,
)

from .new_era_codec import ALARMS, UL, UL_MIN, Volumes, number, rate
from .new_era_evidence import (
    NOBODY_KNOWS,
    Act,
    compared,
    grown,
    moved_ul,
    shows_nothing,
    stands,
    tolerance_ul,
    volumes_of,
)
from .new_era_line import PUMPING, Line
from .new_era_options import RATE, TIME, VOLUME, asks_for_something, number_of, read_options, refuses, sent, volume_of


@dataclass(slots=True)
class Begun:
    """The act that was begun in this process."""

    direction: str
    rate_ul_min: float
    volume_ul: float
    before: Volumes
    seen_ul: float = 0.0  # moved, at the last look


DIRECTIONS = {"dispense": "INF", "withdraw": "WDR"}
# As first replies and ``alarm`` say it: the alarm of a pump that was switched on, and that one may have been lost.
RESET = "A?R"
MISSED = "an answer was lost"
# As ``taken`` says it, of an act that begins where a pump that was switched off begins as well: with counters at 0.
TAKEN = "it was told to run, from counters at 0"
EVIDENCE = "the pump's own counters of volume (DIS), unless it was switched off since"


class NE1000(Driver):
    """A New Era NE-1000 with a syringe. Options: ``address``, ``syringe: {maker, volume, diameter}``, ``watchdog``.

    ``model: NE-4000``: another pump of the family. The limits stay those of the NE-1000; what of them it cannot do, it
    refuses itself (?OOR).
    """

    kind = "New Era NE-1000 syringe pump"
    signals = (
        Signal(name="infused", unit="uL", doc="volume pushed out since the counters were cleared"),
        Signal(name="withdrawn", unit="uL", doc="volume drawn up since the counters were cleared"),
    )

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        read = read_options(options)
        self._line = Line(exchange, read.address)
        self._diameter = number(read.diameter_mm)
        self._watchdog_s = read.watchdog_s
        self._model = read.model
        self._step_ul = read.volumes[0]
        self._armed: tuple[Any, Begun] | None = None
        self._begun: Begun | None = None
        self._ran = ""  # the act that was told to run last
        self._refused = False
        self._took = self._taken = False  # it was heard to run from counters at 0: here; by a runner before
        self._watching = False  # its safe mode is on, by us

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions, with the limits that this syringe sets. Raises SpecError for a syringe that cannot be."""
        read = read_options(options)
        slowest, fastest = read.rates
        step_ul, most_ul = read.volumes
        limited = {
            "rate": replace(RATE, low=slowest, high=fastest),
            "time": TIME,
            "volume": replace(VOLUME, low=step_ul, high=most_ul, resolution=step_ul),
        }
        return {
            name: replace(one, settings=tuple(limited[setting.name] for setting in one.settings))
            for name, one in super().declare(options).items()
        }

    @classmethod
    def complaint(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> str:
        """One of time and volume, and a volume that this syringe can move."""
        if ("time_s" in values) == ("volume_ul" in values):
            return "give either time or volume"
        rate_ul_min, volume_ul = number_of(values, "rate_ul_min"), volume_of(values)
        if rate_ul_min == 0.0 and volume_ul > 0.0:
            return f"rate = 0 never delivers {written(volume_ul, 'uL')}"
        if rate_ul_min == 0.0:
            return ""
        step_ul, most_ul = read_options(options).volumes
        if 0.0 < volume_ul < step_ul:
            return f"{written(volume_ul, 'uL')} is less than one motor step ({written(step_ul, 'uL')})"
        if volume_ul > most_ul:
            return f"{written(volume_ul, 'uL')} is more than the {written(most_ul, 'uL')} it moves in one go"
        return ""

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """Rate and volume as they are said; the volume of a rate and a time, the time of a rate and a volume."""
        return sent(values)

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """The time and the volume that rate and time (or volume) make."""
        rate_ul_min, volume_ul = number_of(values, "rate_ul_min"), volume_of(values)
        lasts_s = volume_ul / rate_ul_min * 60.0 if rate_ul_min > 0.0 else 0.0
        return Expected(duration_s=lasts_s, least_s=lasts_s, achieved={"volume": Amount(volume_ul, "uL")})

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """The pump stops by itself at the end of its volume; in safe mode also when nobody speaks to it."""
        seconds = read_options(options).watchdog_s
        if seconds:
            return f"the pump's own watchdog: it stops when nobody speaks to it for {seconds} s"
        return "the pump itself: it stops at the end of the volume it was given"

    @classmethod
    def silence_s(cls, options: Mapping[str, Any]) -> float:
        """The time-out of its safe mode."""
        return float(read_options(options).watchdog_s)

    @classmethod
    def nudge(cls, options: Mapping[str, Any]) -> tuple[str, Mapping[str, Amount]]:
        """A plunger's move that the eye can see, out of its stock; drawn back, it would draw in what is outside."""
        rate_ul_min, volume_ul = read_options(options).nudge
        return "dispense", {"rate": Amount(rate_ul_min, "uL/min"), "volume": Amount(volume_ul, "uL")}

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Ask for model and firmware. Raises InstrumentFault when something else answers."""
        first = self._line.exchange("VER")
        reply = first
        if first.alarm:
            reply = self._line.believe("VER", self._line.exchange("VER"))
        else:
            self._line.believe("VER", first)
        name = reply.data
        if refuses(self._model, name):
            name = self._line.set_to("VER")  # said twice alike: a name may have been damaged on its way
        if why := refuses(self._model, name):
            raise InstrumentFault(why, kind="identity")
        model, _, firmware = name.partition("V")
        said = f"A?{first.alarm}" if first.alarm else f"{first.status}{first.data}"
        return Identity(model=model, firmware=firmware, first_reply=repr(said))

    def configure(self) -> None:
        """Send syringe, units, program and watchdog where they differ; a new diameter clears the counters."""
        status = self._line.ask("").status
        if status in PUMPING:
            raise InstrumentFault(f"it {PUMPING[status]} already; stop it before it is set up", kind="busy")
        if float(self._line.set_to("DIA")) != float(self._diameter):
            self._line.order(f"DIA{self._diameter}")
            if float(said := self._line.set_to("DIA")) != float(self._diameter):
                raise ProtocolError(f"it has a diameter of {said} mm after {self._diameter} mm was sent")
        if not self._line.set_to("VOL").endswith("UL"):
            self._line.order("VOLUL")
        for phase, function in (("2", "STP"), ("1", "RAT")):
            self._line.order(f"PHN{phase}")
            if not self._line.set_to("FUN").startswith(function):
                self._line.order(f"FUN{function}")
        if int(self._line.perhaps("SAF") or 0) != self._watchdog_s:
            self._line.order(f"SAF{self._watchdog_s}")
        self._line.safe = self._watching = self._watchdog_s > 0
        self._line.reset = self._took = self._taken = False

    def pulse(self) -> None:
        """Ask how it is: any packet that makes sense winds its safe mode up."""
        self._line.ask("")

    def close(self) -> None:
        """End the safe mode that configure() began; a pump that still runs keeps it."""
        if self._watching and self._line.ask("").status not in PUMPING:
            self._line.order("SAF0")
            self._line.safe = self._watching = False

    def read(self) -> Mapping[str, Reading]:
        """The volumes moved since the counters were cleared."""
        now = self._line.sure()[1]
        return {
            "infused": Reading(value=now.infused, unit="uL"),
            "withdrawn": Reading(value=now.withdrawn, unit="uL"),
        }

    def at_work(self) -> str:
        """Whether it pumps, or a person has paused it."""
        status = self._line.ask("").status
        return f"it {PUMPING[status]}" if status in PUMPING else "it is paused" if status == "P" else ""

    def counters(self) -> Mapping[str, Amount]:
        """The volumes moved, and one unit of their last digit."""
        reply, now, _ = self._line.sure()
        self._took = self._took and reply.status in PUMPING
        return {
            "infused": Amount(now.infused, "uL"),
            "withdrawn": Amount(now.withdrawn, "uL"),
            "resolution": Amount(now.resolution, "uL"),
        }

    def stands(self) -> Mapping[str, Stand]:
        """The diameter, and the volumes moved; while it pumps, only that it does."""
        return self._line.standing()

    def needs_clear(self, counters: Mapping[str, Amount]) -> bool:
        """Whether the next act would be counted in tenths of a microlitre only."""
        return grown(counters)

    def clear_counters(self) -> None:
        """Set both counters to 0."""
        self._line.order("CLDINF")
        self._line.order("CLDWDR")

    def prepare(self, action: str, settings: Mapping[str, Value], act: str) -> None:
        """Send all that the act needs but its RUN, so that pumps that run together start together."""
        self.act = act
        if action in DIRECTIONS:
            self._arm(DIRECTIONS[action], {name: float(value) for name, value in settings.items()})

    @action(RATE, TIME, VOLUME, act=True, evidence=EVIDENCE, remainder=True, amount="volume")
    def dispense(self, rate_ul_min: float, time_s: float | None = None, volume_ul: float | None = None) -> None:
        """Push a volume out of the syringe at a rate in uL/min (the syringe sets the limits)."""
        self._pump("INF", rate_ul_min=rate_ul_min, time_s=time_s, volume_ul=volume_ul)

    @action(RATE, TIME, VOLUME, act=True, evidence=EVIDENCE, remainder=True, amount="volume", fills=True)
    def withdraw(self, rate_ul_min: float, time_s: float | None = None, volume_ul: float | None = None) -> None:
        """Draw a volume up into the syringe at a rate in uL/min (the syringe sets the limits)."""
        self._pump("WDR", rate_ul_min=rate_ul_min, time_s=time_s, volume_ul=volume_ul)

    def progress(self, elapsed_s: float) -> Progress:
        """Look at the counters. Raises InstrumentFault when the pump stalled, was paused or stopped short."""
        begun = self._begun
        if begun is None:
            return Progress(done=True, achieved={"volume": Amount(0.0, "uL")})
        reply, now, alarm = self._line.sure()
        moved = moved_ul(begun.direction, begun.before, now)
        if alarm := alarm or self._line.alarm:
            self._took = False
            kind, why = ALARMS[alarm]
            if kind == "reset":  # the counters began anew and say nothing of this act
                if begun.seen_ul > 0.0:
                    seen, wanted = written(begun.seen_ul, "uL"), written(begun.volume_ul, "uL")
                    why += f" (at the last look before it had moved {seen} of {wanted})"
            elif moved >= 0.0:
                why += f" (after about {written(moved, 'uL')} of {written(begun.volume_ul, 'uL')})"
            raise InstrumentFault(why, kind)
        begun.seen_ul = moved
        achieved = {"volume": Amount(moved, "uL"), "rate": Amount(begun.rate_ul_min, "uL/min")}
        if reply.status in PUMPING:
            left_s = (begun.volume_ul - moved) / begun.rate_ul_min * 60.0
            return Progress(done=False, achieved=achieved, again_in_s=min(max(left_s, 0.2), 5.0))
        self._took = False
        if moved < begun.volume_ul - tolerance_ul(begun.before, now):
            kind, how = ("paused", "paused") if reply.status == "P" else ("stopped", "stopped")
            raise InstrumentFault(f"it was {how} at {written(moved, 'uL')} of {written(begun.volume_ul, 'uL')}", kind)
        return Progress(done=True, achieved=achieved)

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Compare the counters with what they said before the act."""
        if act == self.act != self._ran and asks_for_something(self.resolved(action, settings)):
            return Verdict(state="not_begun", why="it was never told to run")
        reply, now, _ = self._line.sure()
        self._took = reply.status in PUMPING and shows_nothing(before)
        if act == self.act and self._refused and reply.status not in PUMPING and stands(before, now, self._line.reset):
            return Verdict(state="not_begun", why="it refused to run, and its counters have not moved")
        if self._line.reset:
            return Verdict(state="cannot_tell", why="the pump was switched off and on since, and its counters are lost")
        unheard = self._line.missed or (self._taken and act != self._ran)  # or a runner heard of it that is gone
        if unheard and reply.status == "S" and shows_nothing(before, now):
            return NOBODY_KNOWS
        return self._compared(action, settings, before, now, reply.status)

    def witnessed(
        self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], after: Mapping[str, Amount],
        first_reply: str,
    ) -> Verdict:  # fmt: skip
        """Compare the counters that somebody else read when the pump stood still with those before the act."""
        if RESET in first_reply or not {"infused", "withdrawn"} <= after.keys():
            return Verdict(state="cannot_tell", why="its counters were lost, or not read, when it was stopped")
        now = volumes_of(after)
        unheard = self._line.reset or self._line.missed or self._taken or MISSED in first_reply
        if unheard and shows_nothing(before, now):
            return NOBODY_KNOWS
        return self._compared(action, settings, before, now, "S")

    @property
    def alarm(self) -> str:
        """A reset, as long as nothing was configured since; else an answer that was lost, and may have told of one."""
        if self.act != self._ran:  # what is told before an act runs says nothing of it
            return ""
        return RESET if self._line.reset else MISSED if self._line.missed else ""

    @property
    def taken(self) -> str:
        """That it was told to run from counters at 0: a pump that was switched off meanwhile would stand there too."""
        return TAKEN if self._took else ""

    def overheard(self, first_reply: str | None) -> None:
        """A reset that somebody else was told of in our place, or may have been: the counters are lost all the same."""
        if first_reply is None or MISSED in first_reply:
            self._line.missed = True
        if first_reply is not None and RESET in first_reply:
            self._line.note("R")
        if first_reply is not None and TAKEN in first_reply:
            self._taken = True

    def _compared(
        self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], now: Volumes, status: str
    ) -> Verdict:
        values = self.resolved(action, settings)
        wanted_ul = float(number(volume_of(values))) if asks_for_something(values) else 0.0
        act = Act(DIRECTIONS[action], number_of(values, "rate_ul_min"), wanted_ul)
        return compared(act, before, now, status, self._step_ul)

    def brake(self) -> None:
        """Pause pumping, unheard: on a line of five pumps the last one would else wait for the others' answers."""
        self._line.brake()

    def stop(self) -> None:
        """Stop pumping and end the program; harmless twice. Raises InstrumentFault when it pumps on."""
        self._line.stop()

    # --- how it is said -----------------------------------------------------------------------------------------

    def _pump(self, direction: str, **settings: float | None) -> None:
        begun = self._arm(direction, settings)
        if begun is None:
            return
        self._armed, self._begun, self._ran = None, begun, self.act
        try:
            self._line.order("RUN")
            self._took = shows_nothing(begun.before)
        except InstrumentFault:  # what is answered so was not done (manual 10.2), if this was the answer to it
            self._refused = True
            raise
        finally:  # if it runs, RUN itself was not answered with an alarm; only what is missed from here on can hide one
            self._line.missed = False

    def _arm(self, direction: str, settings: Mapping[str, float | None]) -> Begun | None:
        """Send and read back all that an act needs but its RUN; None: it has nothing to do."""
        values = {name: value for name, value in settings.items() if value is not None}
        wanted = (self.act, direction, tuple(values.items()))
        if self._armed is not None and self._armed[0] == wanted and not self._line.reset:
            return self._armed[1]
        self._armed, self._begun = None, None
        self._refused = self._took = self._taken = False
        # Asked here too, whoever calls: a volume that rounds to 0 means "without end" to this pump (manual 5.6).
        if why := self.complaint("dispense" if direction == "INF" else "withdraw", values, self.options):
            raise SafetyError(f"{why}; nothing was sent")
        rate_ul_min = number_of(values, "rate_ul_min")
        if rate_ul_min == 0.0 or volume_of(values) == 0.0:
            return None
        status = self._line.ask("").status
        if status in PUMPING:
            raise InstrumentFault(f"it {PUMPING[status]} already", kind="busy")
        if status != "S":
            self.stop()  # a paused program would go on instead of ours
        if self._line.reset:
            self.configure()
        self._line.alarm = ""
        text, unit = rate(rate_ul_min)
        volume = number(volume_of(values))
        before = self._line.sure()[1]
        self._line.order(f"DIR{direction}")
        self._line.order(f"RAT{text}{unit}")
        self._line.order(f"VOL{volume}")
        if (said := self._line.ask("DIR").data) != direction:  # acknowledged is not done; the other way draws up
            raise ProtocolError(f"DIR reads back as {said} where {direction} was sent; nothing was started")
        self._line.same("RAT", float(text) * UL_MIN[unit], UL_MIN)
        self._line.same("VOL", float(volume), UL)
        begun = Begun(direction, float(text) * UL_MIN[unit], float(volume), before)
        self._armed = wanted, begun
        return begun
