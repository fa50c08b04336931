"""Lake Shore 336 temperature controller, over USB (a virtual serial port) or Ethernet (``tcp://host:7777``).

Source: Model 336 user's manual, 119-048, chapter 6 ("manual"); where that was not at hand, the same chapters of its
sisters (335, 119-055, p. 122; 350, 119-050, p. 154) and the maker's own client. What matters of it:

* USB is 57600 7O1; messages end with LF, answers with CR LF. A message that begins within 50 ms of the last one, or of
  its answer, may be lost (manual 6.3.5): the codec asks the line for that silence.
* Commands never answer, and there are no error replies. So ``*ESR?`` goes along in the same message, and its answer
  tells: bit 5 not understood, bit 4 not possible. Bit 7 says that the power went and came.
* Several questions in one message are answered in one line: a temperature and its sensor's state belong together.
* A reading without ``000`` from ``RDGST?`` is no temperature (350 manual p. 154).
* A setpoint on a ramp is on its way; ``RAMPST?`` says so.
* ``RANGE 1,0`` switches the heater off: the safe state. After a power cut the heater is off.
* It goes on controlling when its host falls silent: there is no watchdog. ``TLIMIT`` is its own cut-out: above that
  temperature it switches its outputs off.

Not confirmed in a manual, so not relied upon: whether SETP? tells the setpoint on its way or its end while it ramps
(it is only read back when no ramp is under way), where the setpoint stays when a ramp is switched off half-way (it is
sent before and after), and whether HTRST? clears what it tells (it is asked once, for words).
"""

import math
from collections.abc import Mapping
from typing import Any

from labloop.bench import (
    Action,
    Amount,
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

from .lakeshore_codec import HEATER, REFUSED, SENSOR, Command, LakeShoreCodec, bits
from .lakeshore_keys import RATE_BACK, READ_BACK_K, standing
from .lakeshore_options import INPUTS, RANGES, read_loop

# 100 characters take 18 ms at 57600 baud; it answers within 100 ms.
ANSWER_S = 1.0
STOP_TRIES = 2
# A stage follows its loop within seconds to minutes.
LOOK_S = 5.0
# Between two questions 60 ms apart nothing moves so far; a lost digit does.
JUMP_K = 0.5
AGREE_TRIES = 5
# A setpoint on a ramp comes nearer to where it was sent; two looks may be wrong by JUMP_K each, in opposite directions.
AWAY_K = 2.0 * JUMP_K
ROOM_K, COLDEST_K = 300.0, 4.0
# Without a ramp: what a cryostat of some kilograms needs between room temperature and its base.
WAY_S = 3600.0


# The 336 works from 300 mK to 1505 K; sensor and cryostat set narrower limits.
TEMPERATURE = Setting(
    name="temperature", argument="temperature_k", unit="K", low=0.3, high=1505.0, resolution=0.001,
    doc="at the control input; sensor and cryostat set narrower limits",
)  # fmt: skip
# 335 manual p. 122: 0.1 to 100 K/min.
RAMP = Setting(
    name="ramp", argument="ramp_k_min", unit="K/min", low=0.1, high=100.0, required=False, difference=True,
    doc="how fast the setpoint moves; left out: at once",
)  # fmt: skip
EVIDENCE = "setpoint and heater range, read back"


class LS336(HoldingDriver):
    """A Lake Shore 336. Options: ``input`` (A), ``output`` (1), ``range`` (high), ``cutoff`` (350 K; 0 K: none)."""

    kind, hold_unit = "Lake Shore 336 temperature controller", "K"
    signals = (
        Signal(name="temperature", unit="K", doc="at the control input"),
        Signal(name="heater", unit="percent", doc="of the range's most"),
        Signal(name="setpoint", unit="K", doc="where it is now; on a ramp it moves"),
        *(Signal(name=f"input_{place.lower()}", unit="K", doc="where it has a sensor") for place in INPUTS),
    )

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._loop = read_loop(options)
        self._codec = LakeShoreCodec()
        self._told = False  # whether the last act's setpoint was sent
        self._before: tuple[bool, float] | None = None  # whether it ramped and to what it was set then, till that came
        self._nearest_k = math.inf  # how near the setpoint of a hold came to its end, on a ramp

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions. Raises SpecError for options that make no sense."""
        read_loop(options)
        return super().declare(options)

    @classmethod
    def complaint(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> str:
        """A temperature at which its own cut-out switches it off."""
        cutoff_k = read_loop(options).cutoff_k
        temperature_k = float(values.get("temperature_k", 0.0))
        if cutoff_k and temperature_k >= cutoff_k:
            return (
                f"temperature = {written(temperature_k, 'K')} is at or above its cut-out of {written(cutoff_k, 'K')}, "
                "where it switches its outputs off"
            )
        return ""

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """A temperature in thousandths of a kelvin, a ramp in tenths."""
        decimals = {"temperature_k": ("temperature", 3), "ramp_k_min": ("ramp", 1)}
        return {name: (round(float(values[one]), digits),) for one, (name, digits) in decimals.items() if one in values}

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """The way there at worst, then the hold."""
        if action != "hold":
            return Expected()
        temperature_k, way_s = float(values["temperature_k"]), WAY_S
        if "ramp_k_min" in values:
            far_k = max(abs(temperature_k - ROOM_K), abs(temperature_k - COLDEST_K))
            way_s = far_k / float(values["ramp_k_min"]) * 60.0 + 600.0
        return hold_expected(values, way_s, "temperature_k", "K")

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """Nobody switches it off; its cut-out keeps it below a temperature."""
        cutoff_k = read_loop(options).cutoff_k
        if not cutoff_k:
            return ""
        return f"the controller's own cut-out: off above {written(cutoff_k, 'K')}; below, it goes on controlling"

    @classmethod
    def numbered(cls, options: Mapping[str, Any]) -> bool:
        """It tells one (``*IDN?``), with that of its option card: LSA1234/#######."""
        return True

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Ask who it is. Raises InstrumentFault when another model answers."""
        (said,) = self._ask("*IDN?")
        maker, model, serial, firmware = ([part.strip() for part in said.split(",", 3)] + [""] * 4)[:4]
        if model != "MODEL336":
            raise InstrumentFault(f"{said!r} answers where a Lake Shore 336 was expected", kind="identity")
        return Identity(model=f"{maker} {model}", firmware=firmware, serial=serial, first_reply=repr(said))

    def configure(self) -> None:
        """Close the loop from the input to the output, and set the cut-out; only what differs is sent."""
        loop = self._loop
        wanted = f"1,{INPUTS.index(loop.place) + 1},0"
        if self._sure(f"OUTMODE? {loop.output}")[0] != wanted:
            if self._range() != 0:
                raise InstrumentFault(
                    "its heater is on in another mode; switch it off before it is set up", kind="busy"
                )
            self._tell(f"OUTMODE {loop.output},{wanted}")
            if (said := self._sure(f"OUTMODE? {loop.output}")[0]) != wanted:
                raise ProtocolError(f"its output mode reads back as {said} where {wanted} was sent")
        if abs(float(self._sure(f"TLIMIT? {loop.place}")[0]) - loop.cutoff_k) > READ_BACK_K:
            self._tell(f"TLIMIT {loop.place},{loop.cutoff_k:.3f}")
            said_k = float(self._sure(f"TLIMIT? {loop.place}")[0])
            if abs(said_k - loop.cutoff_k) > READ_BACK_K:
                raise ProtocolError(f"its cut-out reads back as {said_k:g} K where {loop.cutoff_k:g} K was sent")

    def read(self) -> Mapping[str, Reading]:
        """Every input that has a sensor, heater and setpoint."""
        output = self._loop.output
        states = self._middle(";".join(f"RDGST? {place}" for place in INPUTS))
        *kelvin, heater, setpoint = self._middle(
            f"{';'.join(f'KRDG? {place}' for place in INPUTS)};HTR? {output};SETP? {output}"
        )
        found = {
            "heater": Reading(value=float(heater), unit="percent"),
            "setpoint": Reading(value=float(setpoint), unit="K"),
        }
        for place, text, state in zip(INPUTS, kelvin, states, strict=True):
            if int(state) == 0:
                found[f"input_{place.lower()}"] = Reading(value=float(text), unit="K")
                if place == self._loop.place:
                    found["temperature"] = Reading(value=float(text), unit="K")
        return found

    def stands(self) -> Mapping[str, Stand]:
        """What its keys change (see lakeshore_keys)."""
        _, _, range_, ramping, setpoint, _ = self._look()
        return standing(self._sure, self._loop, range_, ramping, setpoint)

    @action(*hold_settings(TEMPERATURE, reach_by_s=7200.0), RAMP, act=True, holds=True, rejoins=True, evidence=EVIDENCE)
    def hold(
        self,
        temperature_k: float,
        tolerance_k: float,
        time_s: float,
        reach_by_s: float,
        ramp_k_min: float | None = None,
    ) -> None:
        """Bring the control input to a temperature in K (0.3 to 1505) and keep it there; the heater stays on then.

        Only time without a break within the tolerance counts.
        """
        self._hold = Hold(temperature_k, tolerance_k, time_s, reach_by_s, unit="K")
        self._control(temperature_k, ramp_k_min)

    @action(TEMPERATURE, RAMP, act=True, repeatable=True, evidence=EVIDENCE)
    def control(self, temperature_k: float, ramp_k_min: float | None = None) -> None:
        """Control towards a temperature in K (0.3 to 1505) and go on; nothing is waited for."""
        self._hold = None
        self._control(temperature_k, ramp_k_min)

    @action(repeatable=True, stops=True)
    def off(self) -> None:
        """Switch the heater off."""
        self._hold = None
        self.stop()

    def progress(self, elapsed_s: float) -> Progress:
        """Read it all at once. Raises InstrumentFault when a hold is not reached, heater or sensor are gone."""
        hold = self._hold
        if hold is None:
            return Progress(done=True)
        now_k, state, range_, ramping, setpoint, heater = self._look()
        self._sound(state)
        if range_ == "0":
            raise InstrumentFault(f"its heater went off by itself: {self._why_off()}", kind="off")
        if ramping == "1":
            self._nears(hold.wanted, float(setpoint))
        elif abs(float(setpoint) - hold.wanted) > READ_BACK_K:
            raise InstrumentFault(
                f"its setpoint is {float(setpoint):g} K where {hold.wanted:g} K was sent", kind="setup"
            )
        readings = {
            "temperature": Reading(value=float(now_k), unit="K"),
            "heater": Reading(value=float(heater), unit="percent"),
            "setpoint": Reading(value=float(setpoint), unit="K"),
        }
        return hold.look(float(now_k), elapsed_s, readings, every_s=LOOK_S)

    def rejoin(
        self, action: str, settings: Mapping[str, Value], act: str, kept: Mapping[str, Amount], elapsed_s: float,
        unwatched_s: float,
    ) -> None:  # fmt: skip
        """A hold that goes on: what it was set to is known, and what happened() read back."""
        super().rejoin(action, settings, act, kept, elapsed_s, unwatched_s)
        self._told, self._before, self._nearest_k = True, None, math.inf

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Read setpoint and heater range back; how long a hold lasted, the controller does not know."""
        now_k, _, range_, ramping, setpoint, _ = self._look()
        on = range_ != "0"
        if action == "off":
            return Verdict(state="not_begun" if on else "done", why=f"its heater is {'on' if on else 'off'}")
        values, moves, ours = self.resolved(action, settings), ramping == "1", act == self.act
        wanted_k = float(values["temperature_k"])
        if ours and self._untold(moves, float(setpoint), wanted_k):
            return Verdict(state="not_begun", why="its setpoint was never sent, or never came")
        strange = on and moves and not ours and not self._ramps_at(values.get("ramp_k_min"))
        if action == "hold" and strange:
            return Verdict(state="cannot_tell", why="its setpoint moves, and not as this hold would have it")
        as_set = on and not strange and (moves or abs(float(setpoint) - wanted_k) <= READ_BACK_K)
        if as_set and moves:
            return Verdict(state="running", why="its setpoint moves")
        return self.became(
            action, act, written(wanted_k, "K"), as_set, lambda: {"temperature": Amount(float(now_k), "K")}
        )

    def stop(self) -> None:
        """Switch the heater off; harmless twice. Raises InstrumentFault when it stays on."""
        for _ in range(STOP_TRIES):
            self.exchange(self._codec, Command(f"RANGE {self._loop.output},0"), ANSWER_S)
            if self._range() == 0:
                return
        raise InstrumentFault("its heater is on after it was told to go off", kind="runaway")

    # --- how it is said -----------------------------------------------------------------------------------------

    def _control(self, temperature_k: float, ramp_k_min: float | None) -> None:
        output = self._loop.output
        self._told, self._before, self._nearest_k = False, None, math.inf
        now_k, state, range_, ramping, setpoint, _ = self._look()
        self._sound(state)
        before = ramping == "1", float(setpoint)
        if ramp_k_min is not None:
            # A ramp begins where it is now, not where the last setpoint was; and an older one has ended for certain.
            before = False, self._jump(float(now_k), ramp_k_min)
            self._tell(f"RAMP {output},1,{ramp_k_min:.1f}")
            if not self._ramps_at(ramp_k_min):
                raise ProtocolError(f"its ramp does not read back as the {ramp_k_min:g} K/min that were sent")
        self._told, self._before = True, before
        if self._hold is not None:
            self._hold.started = range_ != "0"  # where its heater is on, a setpoint acts at once
        if ramp_k_min is None:
            self._jump(temperature_k, 0.0)
        else:
            self._tell(f"SETP {output},{temperature_k:.3f}")
        self._before = None
        if self._hold is not None:
            self._hold.started = True
        self._tell(f"RANGE {output},{RANGES[self._loop.range]}")
        if self._range() != RANGES[self._loop.range]:
            raise InstrumentFault(f"its heater does not go on: {self._why_off()}", kind="setup")

    def _jump(self, temperature_k: float, rate: float) -> float:
        """Set it without a ramp, and give what it reads back. Raises InstrumentFault when that is something else.

        One message, and the setpoint first: a ramp that is switched off half-way would else jump to its own end.
        """
        output, sent = self._loop.output, f"SETP {self._loop.output},{temperature_k:.3f}"
        self._tell(f"{sent};RAMP {output},0,{rate:.1f};{sent}")
        said_k = float(self._sure(f"SETP? {output}")[0])
        if abs(said_k - temperature_k) > READ_BACK_K:
            self.stop()  # it may be on, towards a temperature that nobody asked for
            raise InstrumentFault(f"its setpoint is {said_k:g} K where {temperature_k:g} K was sent", kind="setup")
        return said_k

    def _ramps_at(self, rate: Value | None) -> bool:
        """Whether its ramp is switched on, at a rate in K/min."""
        on, said = self._sure(f"RAMP? {self._loop.output}")[0].split(",")
        return rate is not None and on == "1" and abs(float(said) - float(rate)) <= RATE_BACK

    def _untold(self, moves: bool, setpoint_k: float, wanted_k: float) -> bool:
        """Whether the act that is being begun has set nothing yet: the loop stands as it stood before."""
        if not self._told or self._before is None:
            return not self._told
        moved, before_k = self._before
        if moves or moved:
            return moves and moved  # what is sent ends an older ramp
        return abs(setpoint_k - before_k) <= READ_BACK_K < abs(before_k - wanted_k)

    def _nears(self, wanted_k: float, setpoint_k: float) -> None:
        """Raise InstrumentFault when a setpoint on its way moves away from where it was sent."""
        away_k = abs(setpoint_k - wanted_k)
        if away_k > self._nearest_k + AWAY_K:
            raise InstrumentFault(
                f"its setpoint moves away from the {wanted_k:g} K that was sent, and is {setpoint_k:g} K now",
                kind="setup",
            )
        self._nearest_k = min(self._nearest_k, away_k)

    def _sound(self, state: str) -> None:
        if int(state):
            raise InstrumentFault(
                f"input {self._loop.place} has no temperature: {bits(int(state), SENSOR)}", kind="sensor"
            )

    def _look(self) -> tuple[str, ...]:
        """Temperature, sensor, range, ramp, setpoint and heater in one answer, said twice alike but for what moves."""
        place, output = self._loop.place, self._loop.output
        question = f"KRDG? {place};RDGST? {place};RANGE? {output};RAMPST? {output};SETP? {output};HTR? {output}"
        said = self._ask(question)
        for _ in range(AGREE_TRIES):
            before, said = said, self._ask(question)
            far_k, moved_k = (abs(float(said[n]) - float(before[n])) for n in (0, 4))
            if said[1:4] == before[1:4] and far_k <= JUMP_K and moved_k <= (JUMP_K if said[3] == "1" else READ_BACK_K):
                return said
        raise ProtocolError(f"{question} is answered differently each time, last with {said}")

    def _middle(self, question: str) -> tuple[str, ...]:
        """Of each number the middle of three, if another is near it; else more are asked, and the middle of all counts.

        No line without a checksum damages two alike. Two that are damaged otherwise would make a middle of nothing.
        """
        said = [self._ask(question) for _ in range(3)]
        middles = [_middle_of(numbers) for numbers in zip(*said, strict=True)]
        if not all(sure for _, sure in middles):
            said += [self._ask(question) for _ in range(AGREE_TRIES - 1)]
            middles = [_middle_of(numbers) for numbers in zip(*said, strict=True)]
        return tuple(middle for middle, _ in middles)

    def _range(self) -> int:
        return int(self._sure(f"RANGE? {self._loop.output}")[0])

    def _why_off(self) -> str:
        state = int(self._ask(f"HTRST? {self._loop.output}")[0])
        return HEATER.get(state, "its cut-out, the power, or somebody's hand")

    def _sure(self, question: str) -> tuple[str, ...]:
        return twice_alike(lambda: self._ask(question), question)

    def _ask(self, question: str) -> tuple[str, ...]:
        *said, event = self._exchange(question)
        if event & REFUSED:
            raise ProtocolError(f"{question} was answered with an event register of {event}")
        return tuple(said)

    def _tell(self, order: str) -> None:
        """Say it; what was refused is said once more, since a line turns a bit now and then."""
        if self._exchange(order)[-1] & REFUSED and (event := self._exchange(order)[-1]) & REFUSED:
            raise InstrumentFault(f"{order!r} was refused (event register {event})", kind="refused")

    def _exchange(self, text: str) -> tuple[Any, ...]:
        said: tuple[str, ...] = self.exchange(self._codec, Command(text), ANSWER_S)
        return (*said[:-1], int(said[-1]))


def _middle_of(numbers: tuple[str, ...]) -> tuple[str, bool]:
    """The middle one, and whether one of its neighbours is as near to it as what moves is."""
    ranked = sorted(numbers, key=float)
    middle = len(ranked) // 2
    near = min(float(ranked[n + 1]) - float(ranked[n]) for n in (middle - 1, middle))
    return ranked[middle], near <= JUMP_K
