"""Tecan Cavro XCalibur syringe pump with a distribution valve (and the XP 3000 of its family), DT protocol.

Sources: XLP 6000 operating manual 734237-C and XP 3000 manual 725730C ("manual" below), chapter 3; what
matterlab-pumps sends to an XCalibur. What matters of them:

* 9600 8N1; up to 15 pumps share a line (switch 0 is address ``1``). A command is ``/``, address, text, CR; the answer
  is ``/0``, a status character, data, ETX CR LF. The status has a bit for busy and the number of an error.
* A string of commands is run one after another when it ends in ``R``. What is wrong with a number shows when it is
  reached: the answer is good, and the next ``Q`` tells error 3, once.
* Only the busy bit of ``Q`` says whether the pump moves (p. 3-47).
* ``N1``: 24 000 microsteps a stroke; ``A`` moves the plunger to a place, so what is said twice is done once; ``?``
  tells where it is. That place is the evidence of what was moved, as long as the pump was not switched off since.
* The XLP 6000 and the XMP 6000 have 48 000: they are not for this driver, which would move half of every volume there,
  while the places agreed with the wrong number. Nothing they say is known to tell them apart.
* After power-up it does not know where its plunger is, and refuses to move until it was initialized (``Z``): the
  plunger goes to its end, and what was in the syringe goes out. That is an action of its own, never done unasked.
* ``K``, the steps that take the slack out, is 12 after power-up (96 in N1). It is set to 97, which is as good, when the
  pump is initialized: as long as it is 97 the pump was not switched off.
* ``T`` stops the plunger, not the valve; steps may be lost (p. 3-42). ``R`` alone would go on with what was stopped, so
  it is never said alone, and never behind ``T``.
* Speeds are half-steps a second (``V``, 5 to 6000). That a stroke of an XCalibur has 6000 half-steps is from memory;
  the XLP 6000 has so many, and matterlab-pumps reckons with 6667. It decides rates and expected times, never volumes.
* Nobody watches the computer; a pump that was told to move stops at its place.
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
    Reading,
    SafetyError,
    Sent,
    Setting,
    Signal,
    SpecError,
    Stand,
    Sure,
    Value,
    Verdict,
    action,
    quantity_of,
    refuse_unknown,
    twice_alike,
    written,
)

from .cavro_codec import ERRORS, CavroCodec, Command, Reply

# A pump answers within 50 ms; its longest answer takes 60 ms at 9600 baud.
ANSWER_S = 1.0
STROKE, HALF_STEPS = 24_000, 6000
SLOWEST, FASTEST, STARTS = 50, 5800, 900
# Three microsteps are an eight thousandth of the stroke: as near as counts as there.
NEAR = 3
MARK = 97
VALVE_S, HOMING_S = 1.0, 10.0
TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plumbing:
    """What lab.yaml says of one pump: its syringe in uL, the port behind each name, and the two of initializing."""

    switch: int
    syringe_ul: float
    ports: Mapping[str, int]
    takes: str
    gives: str

    @property
    def step_ul(self) -> float:
        return self.syringe_ul / STROKE

    def rate_ul_min(self, half_steps_s: float) -> float:
        return self.syringe_ul * half_steps_s / HALF_STEPS * 60.0

    def half_steps_s(self, rate_ul_min: float) -> int:
        return round(rate_ul_min / 60.0 / self.syringe_ul * HALF_STEPS)

    def steps(self, volume_ul: float) -> int:
        return round(volume_ul / self.step_ul)

    @property
    def force(self) -> int:
        """How hard the plunger is driven to its end: less for a thin syringe (manual, Z command)."""
        return 0 if self.syringe_ul > 1000.0 else 1 if self.syringe_ul > 100.0 else 2


@dataclass(slots=True)
class Begun:
    """The act that was begun in this process: from where to where the plunger goes, in microsteps."""

    start: int
    target: int


VOLUME = Setting(name="volume", argument="volume_ul", unit="uL", low=0.001, high=50_000.0, zero=True, doc="how much")
RATE = Setting(name="rate", argument="rate_ul_min", unit="uL/min", low=0.001, high=1e7, doc="how fast the plunger goes")
PORT = Setting(name="port", argument="port", choices=("",), doc="the valve's port, by its name in the lab file")
EVIDENCE = "where the plunger is, unless the pump was switched off since"


class XCalibur(Driver):
    """An XCalibur. Options: ``address`` (switch), ``syringe: 1 mL``, ``valve: {water: 1, waste: 9}``, ``initialize``.

    ``initialize: {from: water, to: waste}``: the ports that the plunger opens to while it looks for its end.
    """

    kind = "Tecan Cavro XCalibur syringe pump"
    signals = (
        Signal(name="content", unit="uL", doc="of the syringe, by the plunger's place"),
        Signal(name="port", doc="that the valve is turned to"),
    )

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._plumbing = _plumbing(options)
        self._codec = CavroCodec(self._plumbing.switch)
        self._sure = Sure()
        self._begun: Begun | None = None
        self._homing = self._ran = False
        self._error = 0  # the last that Q told since the act began; it tells each only once

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions, with the limits of this syringe and the names of its ports. Raises SpecError."""
        plumbing = _plumbing(options)
        step = plumbing.step_ul
        limited = {
            "volume": replace(VOLUME, low=step, high=plumbing.syringe_ul, resolution=step),
            "rate": replace(RATE, low=plumbing.rate_ul_min(SLOWEST), high=plumbing.rate_ul_min(FASTEST)),
            "port": replace(PORT, choices=tuple(plumbing.ports)),
        }
        return {
            name: replace(one, settings=tuple(limited[setting.name] for setting in one.settings))
            for name, one in super().declare(options).items()
        }

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """Whole steps, and half-steps a second."""
        if action == "initialize":
            return {}
        plumbing = _plumbing(options)
        return {
            "volume": (plumbing.steps(float(values["volume_ul"])) * plumbing.step_ul,),
            "rate": (plumbing.rate_ul_min(plumbing.half_steps_s(float(values["rate_ul_min"]))),),
        }

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """The valve, then the time that volume and rate make."""
        if action == "initialize":
            return Expected(duration_s=HOMING_S)
        volume_ul = float(values["volume_ul"])
        moves_s = volume_ul / float(values["rate_ul_min"]) * 60.0
        achieved = {"volume": Amount(volume_ul, "uL")}
        return Expected(duration_s=VALVE_S + moves_s, least_s=moves_s, achieved=achieved)

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """The pump stops at its place."""
        return "the pump itself: it stops at the end of the volume it was given"

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Ask for the firmware, and where valve and plunger are."""
        firmware = self._ask("&")
        place = self._ask("?")
        return Identity(
            model="Cavro pump", firmware=firmware.data, first_reply=f"{firmware.data!r}, plunger at {place.data}"
        )

    def read(self) -> Mapping[str, Reading]:
        """What the syringe holds, and where the valve stands."""
        return {
            "content": Reading(value=self._ul(self._place()), unit="uL"),
            "port": Reading(value=self._port()),
        }

    def counters(self) -> Mapping[str, Amount]:
        """Where the plunger is; none while the pump does not know."""
        place = self._sure_place()
        return {} if place is None else {"content": Amount(self._ul(place), "uL")}

    def stands(self) -> Mapping[str, Stand]:
        """What the syringe holds and where the valve stands, which another program changes; nothing while it moves."""
        if self._moves():
            return {}
        place, within_ul = self._sure_place(), self._ul(NEAR)
        content = (
            Stand(value="not known", said="it was switched off and on since", counts=True) if place is None
            else Stand(value=self._ul(place), unit="uL", within=within_ul, counts=True)
        )  # fmt: skip
        return {"content": content, "port": Stand(value=self._port())}

    @action(act=True, repeatable=True)
    def initialize(self) -> None:
        """Drive the plunger to its end, pushing out what is in the syringe; needed once after each power-up."""
        self._begun, self._homing, self._ran = None, True, False
        self._refuse_busy()
        takes, gives = (self._plumbing.ports[name] for name in (self._plumbing.takes, self._plumbing.gives))
        self._ran = True
        self._tell(f"N1K{MARK}Z{self._plumbing.force},{takes},{gives}R")

    @action(VOLUME, RATE, PORT, act=True, evidence=EVIDENCE, remainder=True, amount="volume", fills=True)
    def aspirate(self, volume_ul: float, rate_ul_min: float, port: str) -> None:
        """Draw a volume up from a port (syringe and stroke set the limits)."""
        self._move(volume_ul, rate_ul_min, port, down=True)

    @action(VOLUME, RATE, PORT, act=True, evidence=EVIDENCE, remainder=True, amount="volume")
    def dispense(self, volume_ul: float, rate_ul_min: float, port: str) -> None:
        """Push a volume out to a port (syringe and stroke set the limits)."""
        self._move(volume_ul, rate_ul_min, port, down=False)

    def progress(self, elapsed_s: float) -> Progress:
        """Look at the plunger. Raises InstrumentFault when it was blocked or stopped short."""
        begun = self._begun
        if begun is None and not self._homing:
            return Progress(done=True, achieved={"volume": Amount(0.0, "uL")})
        busy = self._moves()
        if begun is None:
            if not busy and self._error:
                raise self._fault(self._error)
            self._refuse_reset(busy)
            return Progress(done=not busy, again_in_s=0.5)
        place = self._place(moving=busy)
        achieved = {"volume": Amount(self._ul(abs(place - begun.start)), "uL")}
        if busy:
            return Progress(done=False, achieved=achieved, again_in_s=0.5)
        self._refuse_reset(busy)  # of a place of 0 as well, which an emptied syringe and a power-up have in common
        if abs(place - begun.target) <= NEAR:  # whatever a bad line made of the status
            return Progress(done=True, achieved=achieved)
        done, wanted = (written(self._ul(abs(end - begun.start)), "uL") for end in (place, begun.target))
        if self._error:
            raise self._fault(self._error, f", after {done} of {wanted}")
        raise InstrumentFault(f"it stopped after {done} of {wanted}", kind="stopped")

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Compare the plunger's place with where it was before the act."""
        values = self.resolved(action, settings)
        if action != "initialize" and self._steps(float(values["volume_ul"])) == 0:
            return Verdict(state="done", why="nothing was asked for", achieved={"volume": Amount(0.0, "uL")})
        if act == self.act and not self._ran:
            return Verdict(state="not_begun", why="it was never told to move")
        if action == "initialize":
            if self._moves():
                return Verdict(state="running", why="it moves")
            return Verdict(state="cannot_tell", why="it does not say whether it was initialized")
        wanted_ul = float(values["volume_ul"])
        if "content" not in before:
            return Verdict(state="cannot_tell", why="where the plunger was before the act is not known")
        busy = self._moves()
        place = self._sure_place(moving=busy)
        if place is None:
            return Verdict(state="cannot_tell", why="the pump was switched off and on since")
        start = round(float(before["content"].value) / self._plumbing.step_ul)
        moved = (place - start) * (1 if action == "aspirate" else -1)
        wanted = self._steps(wanted_ul)
        left = wanted - moved
        if busy:  # a place in passing, asked for once, says nothing against it
            seen = {"volume": Amount(self._ul(min(max(moved, 0), wanted)), "uL")}
            return Verdict(state="running", why="it moves", achieved=seen)
        achieved = {"volume": Amount(self._ul(max(moved, 0)), "uL")}
        if moved < -NEAR or left < -NEAR:
            return Verdict(state="cannot_tell", why="the plunger was moved by somebody else since")
        if left <= NEAR:
            return Verdict(state="done", why="the plunger is where it was sent", achieved=achieved)
        if moved <= NEAR:
            return Verdict(state="not_begun", why="the plunger is where it was")
        rest = {
            "volume": Amount(self._ul(left), "uL"),
            "rate": Amount(values["rate_ul_min"], "uL/min"),
            "port": Amount(values["port"]),
        }
        why = f"the plunger has gone {written(self._ul(moved), 'uL')} of {written(wanted_ul, 'uL')}"
        return Verdict(state="partial", why=why, achieved=achieved, remainder=rest)

    def brake(self) -> None:
        """Stop the plunger, and wait for no answer."""
        self.exchange.tell(self._codec, Command("T"))

    def stop(self) -> None:
        """Stop the plunger; harmless twice. Raises InstrumentFault when it goes on."""
        for _ in range(TRIES):
            self._ask("T")
            before = self._place(moving=True)
            # Busy with its plunger at rest, it turns its valve, which ends by itself.
            if not self._ask("Q").busy or self._place(moving=True) == before:
                return
        raise InstrumentFault("its plunger goes on after it was told to stop", kind="runaway")

    # --- how it is said -----------------------------------------------------------------------------------------

    def _move(self, volume_ul: float, rate_ul_min: float, port: str, *, down: bool) -> None:
        self._begun, self._homing, self._ran = None, False, False
        steps = self._steps(volume_ul)
        if steps == 0:
            return
        self._refuse_busy()
        start = self._sure_place()
        if start is None:
            raise self._fault(7)
        target = start + (steps if down else -steps)
        if not 0 <= target <= STROKE:
            raise SafetyError(
                f"the syringe holds {written(self._ul(start), 'uL')} of {written(self._plumbing.syringe_ul, 'uL')}: "
                f"{written(volume_ul, 'uL')} {'more do' if down else 'do'} not fit; nothing was sent"
            )
        top = self._plumbing.half_steps_s(rate_ul_min)
        # Start and cutoff speed may not be above the top speed when they are set, so that is high meanwhile.
        speed = f"V{FASTEST}v{min(top, STARTS)}V{top}"
        self._begun, self._ran = Begun(start, target), True
        self._tell(f"{speed}I{self._plumbing.ports[port]}A{target}R")

    def _tell(self, text: str) -> None:
        """Run a string of commands, and see that it was taken."""
        taken = self._ask(text)
        if not self._moves() and (error := taken.error or self._error):
            raise self._fault(error)

    def _refuse_reset(self, busy: bool) -> None:
        """After a power-up it says 0, wherever its plunger stands."""
        if not busy and not self._marked():
            raise InstrumentFault(
                "it was switched off and on while it moved, and where its plunger stands is not known", kind="reset"
            )

    def _refuse_busy(self) -> None:
        if self._moves():
            raise InstrumentFault("it moves already", kind="busy")
        self._error = 0

    def _moves(self) -> bool:
        """Whether it is busy, said twice alike; what Q tells of errors is kept."""

        def ask() -> bool:
            reply = self._ask("Q")
            self._error = reply.error or self._error
            return reply.busy

        return twice_alike(ask, "Q")

    def _fault(self, error: int, how_far: str = "") -> InstrumentFault:
        kind, why = ERRORS.get(error, ("fault", "it does not say why"))
        return InstrumentFault(f"{why} (error {error}{how_far})", kind=kind)

    def _place(self, *, moving: bool = False) -> int:
        """Where the plunger is, in microsteps; at rest it is made sure of: a move goes from there."""
        if moving:
            return int(self._ask("?").data)
        return int(self._sure.ask(lambda: self._ask("?").data, "where the plunger is"))

    def _port(self) -> str:
        """That the valve is turned to, by its name in the lab file."""
        number = self._sure.ask(lambda: self._ask("?6").data, "?6")
        return {str(port): name for name, port in self._plumbing.ports.items()}.get(number, number)

    def _sure_place(self, *, moving: bool = False) -> int | None:
        """Where the plunger is, or None: the pump was switched on and not initialized since.

        The mark is asked for after the place: a pump that is switched off in between cannot pass its 0 off for one.
        """
        place = self._place(moving=moving)
        return place if self._marked() else None

    def _marked(self) -> bool:
        return self._sure.ask(lambda: self._ask("?12").data, "?12") == str(MARK)

    def _steps(self, volume_ul: float) -> int:
        return self._plumbing.steps(volume_ul)

    def _ul(self, steps: int) -> float:
        return round(steps * self._plumbing.step_ul, 6)

    def _ask(self, text: str) -> Reply:
        reply: Reply = self.exchange(self._codec, Command(text), ANSWER_S)
        return reply


def _plumbing(options: Mapping[str, Any]) -> Plumbing:
    refuse_unknown(options, ("address", "syringe", "valve", "initialize"), "XCalibur")
    switch = options.get("address", 0)
    if not isinstance(switch, int) or isinstance(switch, bool) or not 0 <= switch <= 14:
        raise SpecError(f"address = {switch!r} is not a switch from 0 to 14")
    if "syringe" not in options:
        raise SpecError("a pump needs its syringe: syringe: 1 mL")
    syringe_ul = quantity_of(options["syringe"], "uL")
    if not 25.0 <= syringe_ul <= 50_000.0:
        raise SpecError(f"syringe = {written(syringe_ul, 'uL')} is none of a Cavro pump's (25 uL to 50 mL)")
    ports = options.get("valve")
    if not isinstance(ports, Mapping) or not ports:
        raise SpecError("a pump needs the ports of its valve: valve: {water: 1, waste: 9}")
    for name, port in ports.items():
        if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 12:
            raise SpecError(f"valve.{name} = {port!r} is not a port from 1 to 12")
    homing = options.get("initialize")
    if not isinstance(homing, Mapping) or set(homing) != {"from", "to"} or not set(homing.values()) <= set(ports):
        raise SpecError(f"initialize = {homing!r}: name two of its ports, as in {{from: water, to: waste}}")
    named = {str(name): port for name, port in ports.items()}  # a port may be called 1
    takes, gives = str(homing["from"]), str(homing["to"])
    return Plumbing(switch=switch, syringe_ul=syringe_ul, ports=named, takes=takes, gives=gives)
