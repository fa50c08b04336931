"""Eurotherm 3216 temperature controller (and its family: 3208, 32h8, 3204), over Modbus RTU.

Sources: engineering handbook HA028651 issue 7 ("manual"), chapter 15, p. 81-82; register lists and drivers that others
use on a 3216 (A-Lab's alab_control, nupylab). What matters of them:

* 9600 8N1, unit 1 unless set otherwise; RS-485 takes many units on a line. Functions 3 (read) and 6 (write one).
* Numbers are integers in units of the last digit that is displayed: 25.3 degC is 253 with one decimal. The number of
  decimals is register 525, the unit of temperature 516 (0: degC).
* Target setpoint (2), SP1 (24) and SP2 (25) live in a memory of 100 000 write cycles: "do not write continuously
  changing values". The remote setpoint (26) is the one that a closed loop writes. It is used when the setpoint is
  selected as remote (276) and as long as it is written again and again. When it is not, status bit 14 is set and the
  controller falls back to SP1 or SP2 (15 says which): its own watchdog. That this takes about 5 s is from memory: it
  stands in a part of the manual that we could not read. So whoever holds a temperature must go on writing it, and SP1
  and SP2 must stand at something harmless.
* The highest and the lowest setpoint (111 and 112, SP.HI and SP.LO at the panel) outlive a power cut; what is done
  about them, see eurotherm_limits.
* The programme that is stored in the controller (see eurotherm_programme) has its state in 23.
* Status (75): bit 4 manual, 5 sensor break, 6 loop break, 9 programme ended, 13 ramp or timer running, 14 remote
  setpoint failed. Instrument mode (199): 0 operating, 1 standby, 2 configuration.
* Which number of register 122 is which model stands in no page that we could read: it is reported, not judged.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from labloop.bench import (
    Action,
    Amount,
    BenchError,
    Exchange,
    Expected,
    Hold,
    HoldingDriver,
    Identity,
    InstrumentFault,
    Progress,
    ProtocolError,
    Reading,
    Sent,
    Setting,
    Signal,
    Stand,
    Value,
    Verdict,
    action,
    hold_expected,
    hold_settings,
    twice_alike,
    written,
)

from .eurotherm_keys import standing
from .eurotherm_limits import SetpointLimits
from .eurotherm_modbus import EXCEPTIONS, PROGRAM_STATUS, REMOTE_SETPOINT, ModbusCodec, Read, Reply, Write
from .eurotherm_options import read_options
from .eurotherm_programme import END, PAUSED, RESET, RUN, became, counted, course, was_cut, was_reset, was_stopped_in

PV, WORKING, SELECTED, SP1, STATUS, VERSION, TYPE, MODE = 1, 5, 15, 24, 75, 107, 122, 199
REMOTE_SELECTED, UNITS, DECIMALS = 276, 516, 525
MANUAL, SENSOR_BREAK, LOOP_BREAK, REMOTE_FAILED = 1 << 4, 1 << 5, 1 << 6, 1 << 14
# 9 characters take 9 ms at 9600 baud; a 3200 answers within its cycle of 250 ms.
ANSWER_S = 1.0
# A stop waits for no more than twice that. What was owed to somebody else has another length: none but this, and a
# probe for a lost place, asks for three registers.
FOUND, FOUND_S = 3, 0.5
# The remote setpoint is written at each look: well within the 5 s after which the controller falls back.
LOOK_S = 2.0
AMBIENT_C = 20.0
# A small box furnace, for the expected time of a hold.
RAMP_K_S = 10.0 / 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look: temperatures in degC, output in percent, the status bits."""

    temperature_c: float
    working_c: float
    output: float
    status: int


TEMPERATURE = Setting(
    name="temperature", argument="temperature_c", unit="degC", low=-200.0, high=1800.0, resolution=1.0,
    doc="of the furnace; the controller's own setpoint limits are narrower",
)  # fmt: skip
HELD = "the remote setpoint and whether it has failed, read back"
EVIDENCE = "the state of the controller's own programme"


class E3216(HoldingDriver):
    """A 3216. Options: ``address`` (1 to 254), ``control: remote`` or ``program``, ``fallback: 50 degC`` at most,
    ``setpoint_limits: checked``, ``set`` or ``own``, ``decimals`` (0, 1 or 2, as it shows temperatures).

    ``remote`` holds temperatures through the remote setpoint; ``program`` runs the programme stored in the controller.
    ``fallback`` is what SP1 and SP2 may be set to, where the controller goes when nobody speaks to it.
    ``checked``: its own setpoint limits must let through no temperature that the lab forbids; ``set``: they are made
    the lab's, by one write to each that differs (its memory bears 100 000; ``remote`` only); ``own``: they are let be.
    What a campaign forbids beyond that is refused before it is sent; nobody should set up a controller anew for each.
    """

    kind = "Eurotherm 3216 temperature controller"
    signals = (
        Signal(name="temperature", unit="degC", doc="process value"),
        Signal(name="setpoint", unit="degC", doc="working setpoint"),
        Signal(name="output", unit="%", doc="working output"),
    )

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        read = read_options(options)
        self._codec = ModbusCodec.on(exchange.address, read.address)
        self._remote, self._fallback_c, self._shown = read.remote, read.fallback_c, read.decimals
        self._decimals: int | None = None
        self._limits = SetpointLimits(
            read.policy, self._read,
            lambda register, value: self._write(register, value, lasting=True), lambda: self._digit_c,
        )  # fmt: skip
        self._running, self._time_s = False, 0.0
        self._stopped_in: int | None = None  # the state in which stop() found the programme that it has reset

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions of this way of control. Raises SpecError for options that make no sense."""
        other = "run_program" if read_options(options).remote else "hold"
        return {name: one for name, one in super().declare(options).items() if name != other}

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """A temperature in its last digits: the lab file says which (``decimals``), else any that it can have."""
        if action != "hold":
            return {}
        digits_c = [10.0**-decimals for decimals in read_options(options).decimals]
        return {"temperature": tuple(round(float(values["temperature_c"]) / digit) * digit for digit in digits_c)}

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """Heating up from the room's temperature, then the hold; or the programme's time."""
        if action == "run_program":
            return Expected(duration_s=float(values["time_s"]), least_s=float(values["time_s"]))
        if action != "hold":
            return Expected()
        return hold_expected(values, abs(float(values["temperature_c"]) - AMBIENT_C) / RAMP_K_S + 300.0)

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """The remote setpoint fails some seconds after the last word; a programme goes on."""
        read = read_options(options)
        if read.remote:
            limit = written(read.fallback_c, "degC")
            return f"the controller itself: some seconds after the last word it goes to SP1 or SP2, at most {limit}"
        return ""

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Ask for type, version, unit and decimals. Raises InstrumentFault when they are not those of a 3200."""
        found = {register: self._ask(register) for register in (TYPE, VERSION, UNITS, DECIMALS)}
        said = ", ".join(f"{register}: {value}" for register, value in found.items())
        if not (found[UNITS] in (0, 1, 2) and found[DECIMALS] in (0, 1, 2)):
            raise InstrumentFault(f"its registers ({said}) are not those of a Eurotherm 3200 controller", "identity")
        if (shown := found[DECIMALS]) not in self._shown:
            raise InstrumentFault(f"decimals it shows: {shown} (register 525). Write decimals: {shown}", kind="setup")
        if found[UNITS] != 0:
            raise InstrumentFault("it does not count in degC (register 516). Set its units to degC", kind="setup")
        self._decimals = found[DECIMALS]
        if self._remote:  # else no setpoint is sent, and who rejoins a programme has no time to lose
            self._limits.look()
        model, firmware = f"Eurotherm 3200 series, type {found[TYPE] & 0xFFFF:04X}", f"{found[VERSION] & 0xFFFF:04X}"
        return Identity(model=model, firmware=firmware, first_reply=said)

    def configure(self) -> None:
        """Make sure that it obeys, is bounded by its own limits too, and falls back to something harmless.

        Raises InstrumentFault otherwise. Nothing is written but its own limits, where the lab file says ``set``.
        """
        self._obedient()
        self._limits.settle(*self.limits.get("temperature", (None, None)), self._fallback_c)
        if self._limits.wrote:  # new limits may move what it falls back to
            self._obedient()

    def changed(self) -> str:
        """Its own setpoint limits, where configure() has written them."""
        return self._limits.changed()

    def read(self) -> Mapping[str, Reading]:
        """Temperature, setpoint and output now."""
        return _readings(self._look())

    def stands(self) -> Mapping[str, Stand]:
        """What its keys change (see eurotherm_keys)."""
        return standing(self._read, self._digit_c)

    def counters(self) -> Mapping[str, Amount]:
        """The state of the programme; and in which stop() of this process has found it, if it has reset one."""
        return {} if self._remote else counted(self._ask(PROGRAM_STATUS), self._stopped_in)

    def needs_clear(self, counters: Mapping[str, Amount]) -> bool:
        """Whether an earlier programme's end would be taken for the next one's."""
        return "program_state" in counters and counters["program_state"].value == END

    def clear_counters(self) -> None:
        """Reset the programme that has ended."""
        self._write(PROGRAM_STATUS, RESET)
        self._stopped_in = None

    @action(
        *hold_settings(TEMPERATURE, reach_by_s=14_400.0), act=True, holds=True, rejoins=True, evidence=HELD,
        falls_back=True,
    )  # fmt: skip
    def hold(self, temperature_c: float, tolerance_k: float, time_s: float, reach_by_s: float) -> None:
        """Bring the furnace to a temperature in degC and keep it there; afterwards it falls back to its own setpoint.

        Only time without a break within the tolerance counts.
        """
        self._limits.refuse(temperature_c)
        self._hold, self._running = Hold(temperature_c, tolerance_k, time_s, reach_by_s), False
        self._obedient()
        self._hold.started = True
        self._steer(temperature_c)

    @action(
        Setting(
            name="time", argument="time_s", unit="s", low=1.0, high=2_592_000.0,
            doc="how long the programme takes, as it is stored in the controller",
        ),
        act=True, rejoins=True, evidence=EVIDENCE,
    )  # fmt: skip
    def run_program(self, time_s: float) -> None:
        """Run the programme that is stored in the controller, from its beginning to its end."""
        self._hold, self._running, self._time_s = None, False, time_s
        self._obedient()
        if (state := self._ask(PROGRAM_STATUS)) in (RUN, PAUSED):
            raise InstrumentFault(f"its programme is {'running' if state == RUN else 'on hold'} already", kind="busy")
        if state == END:
            self.clear_counters()
        self._stopped_in, self._running = None, True
        self._write(PROGRAM_STATUS, RUN)

    @action(repeatable=True, stops=True)
    def off(self) -> None:
        """Let the furnace cool: programme reset, or lowest remote setpoint."""
        self._running = False
        self.stop()

    def progress(self, elapsed_s: float) -> Progress:
        """Look, and write the remote setpoint again. Raises InstrumentFault when something is wrong with it."""
        if self._hold is None and not self._running:
            return Progress(done=True)
        seen = self._look()
        self._sound(seen)
        hold = self._hold
        if hold is None:
            state, achieved = self._ask(PROGRAM_STATUS), {"temperature": Amount(seen.temperature_c, "degC")}
            self._stopped_in = RUN if was_cut(state, elapsed_s, self._time_s) else None
            return course(state, elapsed_s, self._time_s, achieved, _readings(seen))
        look = hold.look(seen.temperature_c, elapsed_s, _readings(seen), every_s=LOOK_S)
        self._steer(hold.wanted)  # not once it has failed to get there
        return look

    def rejoin(
        self, action: str, settings: Mapping[str, Value], act: str, kept: Mapping[str, Amount], elapsed_s: float,
        unwatched_s: float,
    ) -> None:  # fmt: skip
        """A programme runs on by itself; a hold is over some seconds after the last word, and before that goes on."""
        if action == "run_program":
            self.act, self._hold, self._running, self._time_s = act, None, True, float(settings["time_s"])
        else:
            super().rejoin(action, settings, act, kept, elapsed_s, unwatched_s)

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """A programme tells its state; a hold is over some seconds after the last word."""
        if action == "off":
            off = self._ask(PROGRAM_STATUS) == RESET
            if self._remote:
                off = off and self._value(self._ask(REMOTE_SETPOINT)) <= self._limits.low_c
            return Verdict(state="done" if off else "not_begun", why=f"it is {'off' if off else 'not off'}")
        achieved = {"temperature": Amount(self._value(self._registers()[0]), "degC")}
        if action == "run_program":
            return self._programme_happened(achieved, before, act == self.act)
        wanted_c = float(self.resolved(action, settings)["temperature_c"])
        set_c = self._value(self._ask(REMOTE_SETPOINT))
        as_asked = not self._ask(STATUS) & REMOTE_FAILED and abs(set_c - wanted_c) <= self._digit_c / 2.0
        return self.became(action, act, written(wanted_c, "degC"), as_asked, lambda: achieved)

    def witnessed(
        self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], after: Mapping[str, Amount],
        first_reply: str,
    ) -> Verdict:  # fmt: skip
        """A programme that was found running, or at its end, by somebody else who reset it."""
        if action != "run_program" or not was_reset(before) or "stopped_in" not in after:
            return super().witnessed(action, settings, before, after, first_reply)
        return was_stopped_in(int(after["stopped_in"].value), {})

    def stop(self) -> None:
        """Lowest remote setpoint, programme reset; harmless twice. Raises InstrumentFault when a programme goes on.

        Where a programme controls, one question comes before its reset, what it is doing, and is not waited for long.
        """
        if self._remote:
            if self._decimals is None:
                self.open()
            lowest = round(self._limits.low_c * 10.0 ** (self._decimals or 0))
            try:
                self._write(REMOTE_SETPOINT, lowest, urgent=True)
            except InstrumentFault:
                self._reset()  # a setpoint that is refused must not keep a programme running
                raise
        self._reset()

    def _reset(self) -> None:
        self._hold = None
        if self._remote and self._ask(PROGRAM_STATUS) == RESET:
            return
        found = RESET if self._remote else self._found()
        self._write(PROGRAM_STATUS, RESET, urgent=True)
        if (state := self._ask(PROGRAM_STATUS)) != RESET:
            raise InstrumentFault(f"its programme is in state {state} after it was reset", kind="runaway")
        if found in (RUN, PAUSED, END):
            self._stopped_in = found

    def _found(self) -> int:
        """The programme's state right before it is reset; RESET where it did not say so at once."""
        with suppress(BenchError):  # then nobody knows what became of it: no reason not to reset it
            for _ in range(2):
                with suppress(ProtocolError):  # the answer to what was broken off, perhaps the word to run
                    return self._said(Read(PROGRAM_STATUS, FOUND, urgent=True), FOUND_S).registers[0]
        return RESET

    # --- how it is said -----------------------------------------------------------------------------------------

    @property
    def _digit_c(self) -> float:
        """One unit of the last digit. Raises ProtocolError before open() has asked for it."""
        if self._decimals is None:
            raise ProtocolError("how many decimals it has is not known before it was opened")
        return 10.0**-self._decimals

    def _value(self, register: int) -> float:
        return round(register * self._digit_c, 2)

    def _look(self) -> Seen:
        pv, _, _, output, working = self._registers()
        return Seen(
            temperature_c=self._value(pv), working_c=self._value(working), output=output / 10.0,
            status=self._ask(STATUS) & 0xFFFF,
        )  # fmt: skip

    def _registers(self) -> tuple[int, ...]:
        return self._said(Read(PV, 5)).registers  # no other answer is as long: once is enough

    def _sound(self, seen: Seen) -> None:
        for bit, kind, what in (
            (SENSOR_BREAK, "sensor", "its sensor is broken or not connected"),
            (LOOP_BREAK, "loop_break", "its output does not change the temperature (loop break)"),
            (MANUAL, "setup", "it is under manual control. Set it to automatic"),
        ):
            if seen.status & bit:
                raise InstrumentFault(what, kind=kind)

    def _obedient(self) -> None:
        """Raise InstrumentFault unless it controls, listens to us, and has a harmless setpoint to fall back to."""
        if (mode := self._ask(MODE)) != 0:
            raise InstrumentFault(f"its instrument mode (register 199) is {mode}. Set it to operating", kind="setup")
        self._sound(self._look())
        if (self._ask(REMOTE_SELECTED) == 1) != self._remote:
            wanted = "remote" if self._remote else "local"
            raise InstrumentFault(f"its setpoint (register 276) is not {wanted}. Select {wanted} there", kind="setup")
        selected = self._ask(SELECTED)
        own_c, name = self._value(self._ask(SP1 + min(max(selected, 0), 1))), f"SP{selected + 1}"
        most_c = self.limits.get("temperature", (None, None))[1]
        harmless_c, whose = self._fallback_c, "of its option fallback"
        if most_c is not None and most_c < harmless_c:
            harmless_c, whose = most_c, "that the lab allows"
        if own_c > harmless_c:
            raise InstrumentFault(
                f"it falls back to {name} = {written(own_c, 'degC')} when nobody speaks to it, which is above the "
                f"{written(harmless_c, 'degC')} {whose}. Turn {name} down",
                kind="setup",
            )

    def _programme_happened(self, achieved: Mapping[str, Amount], before: Mapping[str, Amount], ours: bool) -> Verdict:
        if ours and not self._running:
            return Verdict(state="not_begun", why="its programme was never told to run")
        if not was_reset(before):
            return Verdict(state="cannot_tell", why="it is not known that its programme was reset before the act")
        return became(self._ask(PROGRAM_STATUS), achieved, self._stopped_in if ours else None)

    def _steer(self, temperature_c: float) -> None:
        self._write(REMOTE_SETPOINT, round(temperature_c / self._digit_c))

    def _ask(self, register: int) -> int:
        return self._read(register)[0]

    def _read(self, register: int, count: int = 1) -> tuple[int, ...]:
        """Twice alike: an answer does not say which registers it is of, and one that comes twice shifts the next."""
        return twice_alike(lambda: self._said(Read(register, count)).registers, f"register {register}")

    def _write(self, register: int, value: int, *, urgent: bool = False, lasting: bool = False) -> None:
        self._said(Write(register, value, urgent=urgent, lasting=lasting))

    def _said(self, command: Read | Write, within_s: float = ANSWER_S) -> Reply:
        reply: Reply = self.exchange(self._codec, command, within_s)
        if reply.exception:
            why = EXCEPTIONS.get(reply.exception, "for a reason of its own")
            raise InstrumentFault(f"it refuses {command}: {why} (exception {reply.exception})", kind="refused")
        return reply


def _readings(seen: Seen) -> dict[str, Reading]:
    return {
        "temperature": Reading(value=seen.temperature_c, unit="degC"),
        "setpoint": Reading(value=seen.working_c, unit="degC"),
        "output": Reading(value=seen.output, unit="%"),
    }
