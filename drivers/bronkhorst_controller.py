"""A Bronkhorst controller as its driver speaks to it: looks that are believed, settings read back, and its counter.

There is no checksum on this line: a look is taken until three in a row agree (of a flow that changes the middle one
counts), what is set is read back, and a refusal is believed when it was said twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from labloop.bench import Exchange, Identity, InstrumentFault, ProtocolError, Stand, twice_alike, written

from . import bronkhorst_codec as propar
from .bronkhorst_codec import Ask, Parameter, ProparCodec, Refused, Reply, Set, Worth, single
from .bronkhorst_options import REFERENCES, Options, millilitres, millilitres_a_minute

# Question and answer of 60 bytes take 32 ms at 38400 baud; the maker's library waits for 0.5 s.
ANSWER_S = 0.5
TRIES = 2
LOOKS, LOOKS_ALIKE = 8, 3
# What a steady flow differs by from look to look (32 ms), and what one that changes may, as parts of full scale; the
# controller itself is no better than 0.1 % of it.
GRAIN, JUMP = 0.0005, 0.2
# Two looks lie this far apart at most; where a simulated bench runs faster than the clock, as far as this often most.
APART_S, UNEVEN = 1.0, 5.0
FULL, BEYOND = 32_000, 41_942
BUS, ANALOG, CLOSED, SAFE = 0, 1, 3, 22
# Of the IO status (9.17.061, 4.1.6): after each power-up its setpoint comes from the analog input.
ANALOG_FIRST = 0x40
# The setpoint comes by this line, as usual or with the instrument's own safe state off.
OURS = (BUS, 18)
# What says only where the setpoint comes from, or that the valve is shut, is taken over; else somebody is at it.
SHUT = (CLOSED, 12, SAFE)
TAKEN_OVER = (ANALOG, *SHUT)
MODES = {
    BUS: "bus", ANALOG: "analog input", 2: "slave", CLOSED: "closed", 4: "idle", 5: "test", 6: "tuning", 7: "100 %",
    8: "open", 9: "calibration", 12: "0 %", 18: "RS-232", 20: "valve steered", SAFE: "safe state",
}  # fmt: skip
ALARMS = {
    0x01: "error", 0x02: "warning", 0x04: "minimum", 0x08: "maximum", 0x10: "batch", 0x20: "response", 0x40: "master",
    0x80: "hardware",
}  # fmt: skip
LIMIT_REACHED, HARDWARE = 0x10, 0x80
COUNTING, UP_TO_LIMIT, RESTART = 1, 2, 3

LOOK = Ask((propar.MEASURE, propar.SETPOINT, propar.CONTROL_MODE, propar.ALARM_INFO, propar.COUNTED))
WHO = Ask((propar.DEVICE_TYPE, propar.MODEL, propar.SERIAL, propar.FIRMWARE))
RANGE = Ask((propar.CAPACITY, propar.FLUID, propar.CAPACITY_UNIT, propar.COUNTER_UNIT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What it says of itself at one moment. ``counted_ml``: None where its counter counts in something else."""

    flow_ml_min: float
    setpoint: int
    mode: int
    alarms: int
    counted_ml: float | None
    beyond: bool

    @property
    def closed(self) -> bool:
        """Whether it is told to let nothing through."""
        return self.mode in SHUT or (self.mode in OURS and self.setpoint == 0)

    @property
    def mode_word(self) -> str:
        return MODES.get(self.mode, f"mode {self.mode}")

    @property
    def state(self) -> str:
        return " ".join(word for bit, word in ALARMS.items() if self.alarms & bit) or "ok"


class Controller:
    """One node. What it says is turned into mL and mL/min by what open() found."""

    def __init__(self, exchange: Exchange, lab: Options) -> None:
        self._exchange = exchange
        self._lab = lab
        self._codec = ProparCodec(lab.node)
        self._capacity_ml_min = 0.0
        self._counter_unit = ""

    def identify(self) -> Identity:
        """Ask for device, serial number and range. Raises InstrumentFault when it is something else."""
        device, model, serial, firmware = map(str, twice_alike(lambda: self._values(WHO), "who it is"))
        if device != "DMFC":
            raise InstrumentFault(
                f"{f'{device} {model}'.strip()!r} answers where a mass flow controller (DMFC) was expected",
                kind="identity",
            )
        capacity, gas, unit, self._counter_unit = map(str, twice_alike(lambda: self._values(RANGE), "its range"))
        factor = millilitres_a_minute(unit, self._lab.reference)
        if factor is None:
            raise InstrumentFault(
                f"it counts in {unit}, which is no {self._lab.reference} volume of gas a minute. Set its capacity "
                "unit, or reference: in the lab file",
                kind="setup",
            )
        self._capacity_ml_min = float(capacity) * factor
        if abs(self._capacity_ml_min - self._lab.full_ml_min) > 1e-3 * self._lab.full_ml_min:
            said, wanted = written(self._capacity_ml_min, "mL/min"), written(self._lab.full_ml_min, "mL/min")
            raise InstrumentFault(
                f"one with a full scale of {said} answers where one of {wanted} was expected", kind="identity"
            )
        if self._lab.gas and gas != self._lab.gas:
            raise InstrumentFault(f"it is set to {gas}, where the lab file says {self._lab.gas}", kind="setup")
        return Identity(model=model or device, serial=serial, firmware=firmware, first_reply=repr(device))

    def take_over(self) -> None:
        """Take the setpoint from this line, at 0 if it came from elsewhere, and count in mL.

        Raises InstrumentFault when it is at something else.
        """
        look = self.look()
        if look.mode not in OURS:
            if look.mode not in TAKEN_OVER:
                raise InstrumentFault(
                    f"its control mode is {look.mode} ({look.mode_word}). Set it to {BUS} (bus)", kind="setup"
                )
            self.set_to(propar.SETPOINT, 0)
            self.set_to(propar.CONTROL_MODE, BUS)
        unit = f"ml{REFERENCES[self._lab.reference]}"
        if self._counter_unit != unit:
            self.set_to(propar.COUNTER_UNIT, unit)
            self._counter_unit = unit

    def standing(self) -> dict[str, Stand]:
        """The gas, where the setpoint comes from, and what it is, as far as the instrument does not change them itself.

        So not its safe state, to which it goes when its bus falls silent, nor the mode that it has after each power-up;
        and no setpoint that its counter's limit may end.
        """
        look, stands = self.look(), {"gas": Stand(value=str(self._one(propar.FLUID)).strip())}
        if look.mode != SAFE and not (look.mode == ANALOG and int(self._one(propar.IO_STATUS)) & ANALOG_FIRST):
            stands["mode"] = Stand(value=MODES[BUS] if look.mode in OURS else look.mode_word)
        if look.mode in OURS and (look.setpoint == 0 or self.limit_ml() is None):
            digit_ml_min = self._known_capacity / FULL
            stands["rate"] = Stand(value=self.ml_min(look.setpoint), unit="mL/min", within=digit_ml_min / 2.0)
        return stands

    # --- looks ----------------------------------------------------------------------------------------------------

    def look(self) -> Look:
        """What it is at. Raises ProtocolError when looks in a row never agree."""
        looks, alike = [self._once()], 1
        while len(looks) < LOOKS:
            looks.append(self._once())
            alike = alike + 1 if self._agree(looks[-2], looks[-1], GRAIN, APART_S) else 1
            if alike == LOOKS_ALIKE:
                return looks[-1]
        last = looks[-LOOKS_ALIKE:]
        apart_s = max(APART_S, UNEVEN * _apart_s(looks))
        if all(self._agree(*pair, JUMP, apart_s) for pair in pairwise(last)):
            return replace(last[-1], flow_ml_min=sorted(look.flow_ml_min for look in last)[LOOKS_ALIKE // 2])
        raise ProtocolError(f"it says something else each time, last {last[-1]}")

    def _once(self) -> Look:
        measure, setpoint, mode, alarms, counted = self._values(LOOK)
        part = int(measure) if int(measure) <= BEYOND else int(measure) - 0x10000
        return Look(
            flow_ml_min=round(part / FULL * self._known_capacity, 6),
            setpoint=int(setpoint),
            mode=int(mode),
            alarms=int(alarms),
            counted_ml=None if self._ml is None else round(float(counted) * self._ml, 6),
            beyond=part == BEYOND,
        )

    def _agree(self, one: Look, other: Look, jump: float, apart_s: float) -> bool:
        """Alike, but for what may change between two looks: a part of the range, and what flows meanwhile."""
        if (one.setpoint, one.mode, one.alarms) != (other.setpoint, other.mode, other.alarms):
            return False
        # A valve that closes lets a little pass that its sensor does not show any more.
        most_ml = (max(one.flow_ml_min, other.flow_ml_min, 0.0) * apart_s + self._known_capacity / 100.0) / 60.0
        jump_ml_min = abs(other.flow_ml_min - one.flow_ml_min)
        return jump_ml_min <= jump * self._known_capacity and -1e-6 <= _grown_ml(one, other) <= most_ml

    @property
    def second_ml(self) -> float:
        """What flows in a second at full scale."""
        return self._known_capacity / 60.0

    @property
    def _known_capacity(self) -> float:
        """Raises ProtocolError before identify() has asked for it."""
        if not self._capacity_ml_min:
            raise ProtocolError("what its full scale is was not asked yet; it was never opened")
        return self._capacity_ml_min

    @property
    def _ml(self) -> float | None:
        return millilitres(self._counter_unit, self._lab.reference)

    def number(self, rate_ml_min: float) -> int:
        """A setpoint, in the instrument's own numbers."""
        return min(max(round(rate_ml_min / self._known_capacity * FULL), 0), FULL)

    def ml_min(self, setpoint: int) -> float:
        """A setpoint, in mL/min."""
        return round(setpoint / FULL * self._known_capacity, 6)

    # --- the counter ----------------------------------------------------------------------------------------------

    def limit_ml(self) -> float | None:
        """Up to what it counts, then closing the valve; None when it does not, or counts in something else."""
        asked = Ask((propar.LIMIT, propar.AT_LIMIT, propar.NEW_SETPOINT, propar.COUNTER_MODE))
        limit, at_limit, new_setpoint, mode = twice_alike(lambda: self._values(asked), "its counter")
        if (at_limit, new_setpoint, mode) != (1, 0, UP_TO_LIMIT) or self._ml is None:
            return None
        return float(limit) * self._ml

    def count(self, up_to_ml: float) -> None:
        """Begin to count at 0, with a limit that closes the valve (0: without)."""
        if self._ml is None:
            raise InstrumentFault(f"its counter counts in {self._counter_unit!r}; open it again", kind="setup")
        if up_to_ml:
            self._keep(propar.AT_LIMIT, 1)
            self._keep(propar.NEW_SETPOINT, 0)
            self._keep(propar.LIMIT, single(up_to_ml / self._ml))
        self._keep(propar.COUNTER_MODE, UP_TO_LIMIT if up_to_ml else COUNTING)
        self.restart()

    def restart(self) -> None:
        """Set the counter to 0; before that the setpoint, where an old one would hold again."""
        look = self.look()
        if look.alarms & LIMIT_REACHED and look.setpoint:
            self.set_to(propar.SETPOINT, 0)
        for _ in range(TRIES):
            self._values(Set(propar.RESET, RESTART))
            look = self.look()
            if not look.alarms & LIMIT_REACHED and (look.counted_ml or 0.0) <= self.second_ml:
                return
        raise InstrumentFault(
            f"its counter does not begin anew (reset by the bus may be off): {look.counted_ml} mL, {look.state}",
            kind="setup",
        )

    # --- how it is said -------------------------------------------------------------------------------------------

    def close_valve(self) -> None:
        """Setpoint 0, and a valve that is shut where the setpoint comes from elsewhere. Raises InstrumentFault."""
        for _ in range(TRIES):
            self._values(Set(propar.SETPOINT, 0, urgent=True))
            setpoint, mode = self._steered_by()
            if mode not in (*OURS, CLOSED):
                self._values(Set(propar.CONTROL_MODE, CLOSED, urgent=True))
                setpoint, mode = self._steered_by()
            if setpoint == 0 and mode in (*OURS, CLOSED):
                return
        known = self._capacity_ml_min
        said = written(self.ml_min(setpoint), "mL/min") if known else written(setpoint / FULL * 100.0, "%")
        word = MODES.get(mode, f"mode {mode}")
        raise InstrumentFault(f"its setpoint is {said} ({word}) after it was told to close", kind="runaway")

    def _steered_by(self) -> tuple[int, int]:
        """Setpoint and control mode. Nothing else is needed to stop it, who never answered before as well."""
        asked = Ask((propar.SETPOINT, propar.CONTROL_MODE))
        setpoint, mode = twice_alike(lambda: self._values(asked), "its setpoint and mode")
        return int(setpoint), int(mode)

    def brake(self) -> None:
        """Say setpoint 0, and look at nothing."""
        self._exchange.tell(self._codec, Set(propar.SETPOINT, 0, urgent=True))

    def set_to(self, parameter: Parameter, value: Worth) -> None:
        """Set and read back, once more when it did not take. Raises InstrumentFault."""
        for _ in range(TRIES):
            self._values(Set(parameter, value))
            if (said := self._one(parameter)) == value:
                return
        raise InstrumentFault(f"its {parameter.name} is {said!r} where {value!r} was sent", kind="setup")

    def _keep(self, parameter: Parameter, value: Worth) -> None:
        """Set what differs only: these live in a memory that wears out."""
        if self._one(parameter) != value:
            self.set_to(parameter, value)

    def _one(self, parameter: Parameter) -> Worth:
        return twice_alike(lambda: self._values(Ask((parameter,)))[0], parameter.name)

    def _values(self, command: Ask | Set) -> tuple[Worth, ...]:
        """The values; nothing for a setting. A refusal is asked for again before it is believed."""
        said: Reply = self._exchange(self._codec, command, ANSWER_S)
        if isinstance(said, Refused):
            said = self._exchange(self._codec, command, ANSWER_S)
        if not isinstance(said, Refused):
            return said
        names = [command.parameter] if isinstance(command, Set) else command.parameters
        what = ", ".join(one.name for one in names)
        raise InstrumentFault(f"it refuses {what}: {said.why}", kind="refused")


def _grown_ml(one: Look, other: Look) -> float:
    return (other.counted_ml or 0.0) - (one.counted_ml or 0.0)


def _apart_s(looks: Sequence[Look]) -> float:
    """How far most looks lie apart, by what flowed and what was counted; 0 where nothing flowed."""
    apart_s = []
    for one, other in pairwise(looks):
        flow_ml_min = max(one.flow_ml_min, other.flow_ml_min)
        apart_s.append(_grown_ml(one, other) / flow_ml_min * 60.0 if flow_ml_min > 0.0 else 0.0)
    return sorted(apart_s)[len(apart_s) // 2]
