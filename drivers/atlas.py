"""Atlas Scientific EZO pH circuit in UART mode, over its serial port.

Source: EZO pH datasheet V6.1, "UART mode". What matters of it:

* 9600 8N1 as delivered, every line ends with CR, capitals do not matter. In I2C mode (blue LED) it is silent here.
* As delivered it says a reading every second of its own accord (continuous mode) and ends every answer with ``*OK`` or
  ``*ER`` (response codes). Both are kept over a power cut; we want the first off and the second on.
* ``R`` takes 800 ms. ``T`` (the temperature it compensates for) is forgotten at a power cut: it is read back at the end
  of each measurement.
* A calibration begins in the middle: ``Cal,mid`` forgets low and high. It does not say whether the probe had settled,
  so we wait for that first.
* Any byte wakes a circuit that sleeps; it says ``*WA``, and what woke it is lost.
* ``*RS`` ``*RE``: it has started again; ``*UV`` ``*OV``: its supply is too low or too high.
* It has no serial number; the name that a person gave it (``Name``) is all that tells two of them apart.

Left out, because no manual confirmed it: ``RT,n``, which sets the temperature and reads in one.
"""

import re
from collections.abc import Mapping
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
    Sent,
    Setting,
    Signal,
    SpecError,
    Stand,
    Steady,
    Sure,
    Value,
    action,
    refuse_unknown,
    twice_alike,
)

from .atlas_codec import Command, EzoCodec

# A reading takes 0.8 s, and a calibration about as long; everything else comes at once.
ANSWER_S, READING_S = 1.0, 3.0
LOOK_S = 1.0
# Between two looks a probe moves by less; a damaged digit that matters is more.
JUMP_PH = 0.1
# A window of readings is steady when it holds so many at least.
FEWEST = 4
# A probe that is dipped into another solution settles in about this time.
SETTLES_S = 30.0
NUMBER = re.compile(r"-?\d{1,4}(?:\.\d{1,3})?")
POINTS = ("mid", "low", "high")
SLOPES = {"slope_acid": "%", "slope_base": "%", "zero": "mV"}
SUPPLY = {"*UV": "too low (below 3.1 V)", "*OV": "too high (above 5.5 V)"}

PH = Signal(name="ph", unit="pH", doc="of the solution, at the temperature that it compensates for")
TEMPERATURE = Setting(
    name="temperature", argument="temperature_c", unit="degC", low=0.0, high=100.0, default=25.0, required=False,
    resolution=0.1, doc="of the solution, which it compensates for",
)  # fmt: skip
STEADY = (
    TEMPERATURE,
    Setting(name="tolerance", argument="tolerance", unit="pH", low=0.002, high=1.0, default=0.01, required=False,
            doc="how far apart the readings of the window may lie"),
    Setting(name="window", argument="window_s", unit="s", low=4.0, high=600.0, default=10.0, required=False,
            doc="how long they must be steady"),
    Setting(name="within", argument="within_s", unit="s", low=10.0, high=3600.0, default=180.0, required=False,
            doc="how long they may take to be steady"),
)  # fmt: skip


class EzoPh(Driver):
    """An EZO pH circuit. Options: ``name`` (what it calls itself: another circuit is refused)."""

    kind = "Atlas Scientific EZO pH circuit"
    signals = (PH, Signal(name="temperature", unit="degC", doc="what it compensates for"))

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._codec = EzoCodec()
        self._name = str(options.get("name", ""))
        self._steady, self._sure = Steady(JUMP_PH), Sure()
        self._window: list[tuple[float, float]] = []
        self._tolerance = self._window_s = self._within_s = self._temperature_c = 0.0
        self._point: tuple[str, float] | None = None
        self._begun = ""

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions. Raises SpecError for options that make no sense."""
        refuse_unknown(options, ("name",), cls.__name__)
        name = options.get("name", "")
        if not isinstance(name, str) or ("name" in options and not name):
            raise SpecError(f"name = {name!r} is not a name; it is what the circuit answers to Name,?")
        return super().declare(options)

    @classmethod
    def complaint(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> str:
        """A window that is longer than the time there is for it."""
        if "window_s" in values and float(values["window_s"]) > float(values["within_s"]):
            return "window is longer than within"
        return ""

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """As long as a probe takes to settle."""
        if "window_s" not in values:
            return Expected()
        return Expected(duration_s=min(SETTLES_S + float(values["window_s"]), float(values["within_s"])))

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """It only measures."""
        return "nothing to be made safe: it only measures"

    @classmethod
    def nudge(cls, options: Mapping[str, Any]) -> tuple[str, Mapping[str, Amount]]:
        """Blink."""
        return "find", {}

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """A temperature in tenths of a degree, a buffer in thousandths of a pH."""
        decimals = {"temperature_c": ("temperature", 1), "ph": ("ph", 3)}
        return {name: (round(float(values[one]), digits),) for one, (name, digits) in decimals.items() if one in values}

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Ask what it is and what it is called. Raises InstrumentFault when another circuit answers."""
        self._codec.codes = False
        what, firmware = twice_alike(lambda: self._said("i", 2), "i")
        if what.lower() != "ph":
            raise InstrumentFault(f"an EZO {what} circuit answers where one for pH was expected", kind="identity")
        (name,) = twice_alike(lambda: self._said("Name,?", 1), "Name,?")
        if self._name and name != self._name:
            raise InstrumentFault(
                f"an EZO pH circuit called {name!r} answers where {self._name!r} was expected", kind="identity"
            )
        self._codec.codes = self._one("*OK,?") == "1"  # else a reading of its continuous mode passes for an answer to R
        return Identity(model="EZO pH", firmware=firmware, serial=name, first_reply=f"?i,{what},{firmware}")

    def configure(self) -> None:
        """Response codes on, continuous mode off; both are kept by the circuit."""
        if self._one("*OK,?") != "1":
            self._tell("*OK,1")
        self._codec.codes = True
        if self._one("C,?") != "0":
            self._tell("C,0")
            if (said := self._one("C,?")) != "0":
                raise ProtocolError(f"it goes on saying readings every {said} s after C,0")

    def read(self) -> Mapping[str, Reading]:
        """The pH now, and the temperature that it compensates for."""
        return {
            "ph": Reading(value=self._steady.read(self._reading, "R"), unit="pH"),
            "temperature": Reading(value=self._compensates_c(), unit="degC"),
        }

    def stands(self) -> Mapping[str, Stand]:
        """Its calibration (points, slopes, zero), and whether it says readings of its own accord.

        Not the temperature that it compensates for: a power cut changes that, and each measurement sets it anew.
        """
        (points,) = twice_alike(lambda: self._said("Cal,?", 1), "Cal,?")
        (every,) = twice_alike(lambda: self._said("C,?", 1), "C,?")
        stands = {name: Stand(value=one, unit=SLOPES[name]) for name, one in self._slopes().items()}
        return stands | {
            "points": Stand(value=_float(points, "Cal,?"), unit="count"),
            "continuous mode": Stand(value=every != "0"),
        }

    @action(*STEADY, gives=(PH,), repeatable=True)
    def measure(self, temperature_c: float, tolerance: float, window_s: float, within_s: float) -> None:
        """Read the pH once it is steady: the mean of a window of readings that lie within the tolerance."""
        self._begin(None, temperature_c, tolerance, window_s, within_s)

    @action(
        Setting(name="point", argument="point", choices=POINTS, doc="mid first: it forgets low and high"),
        Setting(name="ph", argument="ph", unit="pH", low=0.0, high=14.0, resolution=0.001,
                doc="of the buffer, at its temperature"),
        *STEADY,
        gives=(
            PH,
            Signal(name="points", unit="count", doc="how many it is calibrated at"),
            Signal(name="slope_acid", unit="%", doc="of an ideal probe"),
            Signal(name="slope_base", unit="%", doc="of an ideal probe"),
            Signal(name="zero", unit="mV", doc="of the probe at pH 7"),
        ),
        repeatable=True,
    )  # fmt: skip
    def calibrate(
        self, point: str, ph: float, temperature_c: float, tolerance: float, window_s: float, within_s: float
    ) -> None:
        """Take the buffer that the probe stands in for a pH (0 to 14), once the reading is steady."""
        self._begin((point, ph), temperature_c, tolerance, window_s, within_s)

    @action(repeatable=True)
    def forget(self) -> None:
        """Forget its calibration."""
        self._begun = "forget"
        self._tell("Cal,clear")
        if (said := self._one("Cal,?")) != "0":
            raise ProtocolError(f"it tells of {said} points after Cal,clear")

    @action(repeatable=True)
    def find(self) -> None:
        """Blink until the next command."""
        self._begun = "find"
        self._tell("Find")

    def progress(self, elapsed_s: float) -> Progress:
        """One reading. Raises InstrumentFault: unsteady, restarted, supply, calibration."""
        if self._begun != "measure":
            return Progress(done=True)
        ph = self._reading()
        self._window.append((elapsed_s, ph))
        while len(self._window) > FEWEST and self._window[1][0] <= elapsed_s - self._window_s:
            del self._window[0]
        values = [value for _, value in self._window]
        long_enough = elapsed_s - self._window[0][0] >= self._window_s and len(values) >= FEWEST
        mean = sum(values) / len(values)
        if long_enough and max(values) - min(values) <= self._tolerance + 1e-9:
            return self._done(mean)
        if elapsed_s > self._within_s:
            spread = max(values) - min(values)
            raise InstrumentFault(
                f"pH is not steady after {elapsed_s:.0f} s: its last {len(values)} readings lie {spread:.3f} apart, "
                f"{ph:g} at last",
                kind="unsteady",
            )
        return Progress(done=False, readings={"ph": Reading(value=ph, unit="pH")}, again_in_s=LOOK_S)

    def stop(self) -> None:
        """It only measures: what was begun is forgotten, and its blinking ends with the next command. Harmless."""
        self._begun, self._window = "", []
        self._said("i", 2)

    # --- how it is said -----------------------------------------------------------------------------------------

    def _begin(
        self, point: tuple[str, float] | None, temperature_c: float, tolerance: float, window_s: float, within_s: float
    ) -> None:
        self._begun, self._point, self._window = "measure", point, []
        self._tolerance, self._window_s, self._within_s = tolerance, window_s, within_s
        self._temperature_c = round(temperature_c, 1)
        self._tell(f"T,{self._temperature_c:.1f}")
        if (said_c := self._compensates_c()) != self._temperature_c:
            raise ProtocolError(f"it compensates for {said_c:g} degC where {self._temperature_c:g} degC was sent")

    def _done(self, ph: float) -> Progress:
        if (said_c := self._compensates_c()) != self._temperature_c:
            raise InstrumentFault(
                f"it compensates for {said_c:g} degC, not {self._temperature_c:g} degC any more: it has started again",
                kind="restarted",
            )
        readings = {"ph": Reading(value=round(ph, 4), unit="pH")}
        if self._point is None:
            return Progress(done=True, readings=readings)
        point, wanted = self._point
        self._tell(f"Cal,{point},{wanted:.3f}", READING_S)
        points = int(self._number("Cal,?"))
        if points not in ((1,) if point == "mid" else (2, 3)):
            raise InstrumentFault(
                f"it tells of {points} points after Cal,{point}; calibrate in the middle first", kind="calibration"
            )
        readings["points"] = Reading(value=float(points), unit="count")
        readings |= {name: Reading(value=one, unit=SLOPES[name]) for name, one in self._slopes().items()}
        return Progress(done=True, readings=readings)

    def _slopes(self) -> dict[str, float]:
        """What its calibration makes of the probe, in SLOPES."""
        said = twice_alike(lambda: self._said("Slope,?", 3), "Slope,?")
        return {name: _float(text, "Slope,?") for name, text in zip(SLOPES, said, strict=True)}

    def _compensates_c(self) -> float:
        return self._number("T,?")

    def _number(self, question: str) -> float:
        return _float(self._one(question), question)

    def _one(self, question: str) -> str:
        """A single value, made sure of: the line has no checksum."""
        (said,) = self._sure.ask(lambda: self._said(question, 1), question)
        return said

    def _reading(self) -> float:
        return _float(self._ask("R", READING_S)[0], "R")

    def _tell(self, command: str, within_s: float = ANSWER_S) -> None:
        self._ask(command, within_s)

    def _said(self, question: str, count: int) -> tuple[str, ...]:
        values = self._ask(question, ANSWER_S)
        if len(values) != count:
            raise ProtocolError(f"{question} is answered with {len(values)} values, {count} were expected: {values}")
        return values

    def _ask(self, command: str, within_s: float) -> tuple[str, ...]:
        for _ in range(2):
            answer = self.exchange(self._codec, Command(command), within_s)
            if wrong := next((note for note in answer.notes if note in SUPPLY), ""):
                raise InstrumentFault(f"its supply is {SUPPLY[wrong]}: no reading can be trusted", kind="supply")
            if answer.refused:
                raise InstrumentFault(f"it refuses {command!r} (*ER)", kind="refused")
            if not answer.woke:
                values: tuple[str, ...] = answer.values
                return values
        raise ProtocolError(f"it wakes up twice and does not answer {command!r}")


def _float(text: str, question: str) -> float:
    if not NUMBER.fullmatch(text):
        raise ProtocolError(f"{question} is answered with {text!r}, which is no number")
    return float(text)
