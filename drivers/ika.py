"""IKA RCT digital hotplate stirrer (and RET, C-MAG of the same command set), over RS-232 or USB.

Source: operating instructions 20014388a, "Interfaces and outputs" (NAMUR commands). What matters of it:

* 9600 7E1, capitals, a blank between command and value, at most 80 characters; every message ends with blank CR LF.
* ``IN_*`` answer with a value and the channel (``22.0 1``); ``START_n``, ``STOP_n`` and ``OUT_SP_n`` are silent, and so
  is everything that is not understood: there are no errors. What was set is only known by reading it back.
* Channels: 1 medium probe, 2 plate, 3 safety circuit, 4 stirrer.
* ``STATUS_1`` (``11 1`` heats, ``12 1`` does not) and ``STATUS_4`` are undocumented; firmware without them
  stays silent, and then nobody can tell whether it heats: a stop is said more often, and an act in doubt again.
* Some firmware puts the set temperature back to 0 when the heater starts: set, start, read back.
* The set temperature cannot come near the safety circuit's dial.
* The plate's own fail-safe: ``OUT_WD1@s`` (s: 20 to 1500) switches heater and stirrer off unless *this command* comes
  again within s seconds; questions do not count. ``OUT_WD2@s`` lets set temperature and set speed fall to the safe
  values of ``OUT_SP_12@`` and ``OUT_SP_42@`` instead. ``OUT_WD2@0`` ends either.
"""

from collections.abc import Iterable, Mapping
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
    LinkTimeout,
    Progress,
    ProtocolError,
    Reading,
    Sent,
    Setting,
    Signal,
    Stand,
    Steady,
    Value,
    Verdict,
    action,
    hold_expected,
    hold_settings,
    refuse_unknown,
    twice_alike,
    written,
)

from .ika_codec import Command, IkaCodec
from .ika_watchdog import read_watchdog

# 80 characters (the longest message) take 83 ms at 9600 baud; the plate answers within 100 ms.
ANSWER_S = 1.0
# Firmware without STATUS_n is silent, and so is a lost answer, but not three times while the plate tells its name; of
# the names one may be lost as well. It is waited for as long as for any answer: who is slow is not silent.
STATUS_TRIES = 3
# OUT_SP_1 takes tenths of a degree, the answers have tenths.
READ_BACK = 0.11
AMBIENT_C = 20.0
# From one question to the next neither plate nor medium changes by this much, nor a stirrer that gathers speed; and by
# the second number nothing worth another question: its probe is no better. A stirrer at rest reads 0.
JUMP_K, GRAIN_K = 2.0, 1.0
JUMP_RPM, GRAIN_RPM = 300.0, 0.04
# A stop is silent: when it was lost, only looking tells, and it is said once more.
STOP_TRIES = 2
# A plate moves by some tenths of a degree meanwhile.
LOOK_S = 2.0
# STATUS_1 and STATUS_4: on, off.
ACTIVE = {1: (11.0, 12.0), 4: (1.0, 0.0)}
# The plate's ramp, for the expected time of a hold: 250 mL of water on an RCT take about a minute for 5 K.
RAMP_K_S = 5.0 / 60.0

TEMPERATURE = Setting(name="temperature", argument="temperature_c", unit="degC", low=0.0, high=310.0)
EVIDENCE = "the set value and the state of the heater, read back"


class RCT(HoldingDriver):
    """An IKA RCT digital. Options: ``watchdog: 60 s`` (off, if left out) for its own fail-safe.

    ``safe_temperature`` and ``safe_speed``: what the watchdog lets it fall to, instead of switching heater and stirrer
    off.
    """

    kind = "IKA RCT hotplate"
    keeps = ("heat", "hold", "stir")
    signals = (
        Signal(name="temperature", unit="degC", doc="medium, by the probe in it"),
        Signal(name="plate", unit="degC", doc="surface of the plate"),
        Signal(name="speed", unit="rpm", doc="of the stirrer"),
    )

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._codec = IkaCodec()
        self._watchdog = read_watchdog(options)
        self._armed = False
        self._has_status: bool | None = None  # whether this firmware tells; None: nobody knows yet
        self._steady = Steady(JUMP_K, GRAIN_K)
        self._speed = Steady(JUMP_RPM, GRAIN_RPM)

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions. Raises SpecError for a watchdog out of range."""
        refuse_unknown(options, ("watchdog", "safe_temperature", "safe_speed"), cls.__name__)
        read_watchdog(options)
        return super().declare(options)

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """A temperature in tenths of a degree, a whole speed."""
        decimals = {"temperature_c": ("temperature", 1), "speed_rpm": ("speed", 0)}
        return {name: (round(float(values[one]), digits),) for one, (name, digits) in decimals.items() if one in values}

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """Heating up from the room's temperature, then the hold."""
        if action != "hold":
            return Expected()
        return hold_expected(values, max(float(values["temperature_c"]) - AMBIENT_C, 0.0) / RAMP_K_S + 120.0)

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """The plate's own, when the lab file sets it."""
        own = read_watchdog(options)
        if not own.seconds:
            return ""
        if own.temperature_c is None:
            return f"the plate's own watchdog: heater and stirrer go off after {own.seconds} s of silence"
        speed = f" and {written(own.speed_rpm, 'rpm')}" if own.speed_rpm else ", the stirrer goes off"
        return (
            f"the plate's own watchdog: after {own.seconds} s of silence it falls to "
            f"{written(own.temperature_c, 'degC')}{speed}"
        )

    @classmethod
    def silence_s(cls, options: Mapping[str, Any]) -> float:
        """The time of its watchdog."""
        return float(read_watchdog(options).seconds)

    @classmethod
    def standing(cls, options: Mapping[str, Any]) -> Mapping[str, Amount]:
        """The values that its watchdog falls to."""
        own = read_watchdog(options)
        if own.temperature_c is None:
            return {}
        return {"temperature": Amount(own.temperature_c, "degC"), "speed": Amount(own.speed_rpm, "rpm")}

    @classmethod
    def nudge(cls, options: Mapping[str, Any]) -> tuple[str, Mapping[str, Amount]]:
        """Stir slowly."""
        return "stir", {"speed": Amount(100.0, "rpm")}

    def open(self) -> Identity:
        """Ask for the name. Raises InstrumentFault when something else answers."""
        name = self._text("IN_NAME")
        if not name.startswith(("RCT", "RET", "C-MAG")):
            raise InstrumentFault(f"{name!r} answers where an IKA RCT was expected", kind="identity")
        self._has_status = None  # what takes seconds to be sure of is asked when it is wanted: the guard has no time
        return Identity(model=name, first_reply=repr(name))

    def configure(self) -> None:
        """Set the plate's own watchdog with the values it falls to, or end it."""
        self._has_status = self._has_status or self._tells_status()  # before anything moves; a stop asks but once
        own = self._watchdog
        if own.temperature_c is not None:
            self._echoed("OUT_SP_12@", own.temperature_c)
            self._echoed("OUT_SP_42@", own.speed_rpm)
        if own.seconds:
            self.pulse()
            self._armed = True
        else:
            self._number("OUT_WD2@0")

    def pulse(self) -> None:
        """Set the watchdog again: it wants its own command within its time, whatever else is said."""
        own = self._watchdog
        if own.seconds:
            self._echoed("OUT_WD1@" if own.temperature_c is None else "OUT_WD2@", float(own.seconds))

    def close(self) -> None:
        """End the watchdog that configure() began; a plate that still heats or stirs keeps it."""
        if self._armed and self._active(1) is False and self._active(4) is False:
            self._number("OUT_WD2@0")
            self._armed = False

    def read(self) -> Mapping[str, Reading]:
        """Medium, plate and speed now."""
        return {
            "temperature": Reading(value=self._temperature("IN_PV_1"), unit="degC"),
            "plate": Reading(value=self._temperature("IN_PV_2"), unit="degC"),
            "speed": Reading(value=self._speed.read(lambda: self._number("IN_PV_4"), "IN_PV_4"), unit="rpm"),
        }

    def at_work(self) -> str:
        """Whether it heats or stirs."""
        if self._active(1):
            return "it heats"
        stirs = self._active(4)
        return "it stirs" if stirs or (stirs is None and self._number("IN_PV_4") > 0.0) else ""

    def stands(self) -> Mapping[str, Stand]:
        """Set temperature and speed, the dial of the safety circuit, and whether it heats and stirs."""
        stands = {
            "temperature": Stand(value=self._set("IN_SP_1"), unit="degC", within=READ_BACK),
            "speed": Stand(value=self._set("IN_SP_4"), unit="rpm", within=1.0),
            "safety limit": Stand(value=self._set("IN_SP_3"), unit="degC", within=1.0),
        }
        on = {"heater": self._active(1), "stirrer": self._active(4)}
        return stands | {name: Stand(value=said) for name, said in on.items() if said is not None}

    @action(*hold_settings(TEMPERATURE, reach_by_s=1800.0), act=True, holds=True, rejoins=True, evidence=EVIDENCE)
    def hold(self, temperature_c: float, tolerance_k: float, time_s: float, reach_by_s: float) -> None:
        """Bring the medium to a temperature in degC (0 to 310) and keep it there; the heater stays on afterwards.

        Only time without a break within the tolerance counts.
        """
        self._hold = Hold(temperature_c, tolerance_k, time_s, reach_by_s)
        self._heat(temperature_c)

    @action(TEMPERATURE, act=True, repeatable=True, evidence=EVIDENCE)
    def heat(self, temperature_c: float) -> None:
        """Heat towards a temperature in degC (0 to 310) and go on; nothing is waited for."""
        self._hold = None
        self._heat(temperature_c)

    @action(
        Setting(name="speed", argument="speed_rpm", unit="rpm", low=50.0, high=1500.0, zero=True, doc="0 stops it"),
        act=True, repeatable=True, evidence=EVIDENCE,
    )  # fmt: skip
    def stir(self, speed_rpm: float) -> None:
        """Stir at a speed in rpm (50 to 1500; 0 stops the stirrer)."""
        self._hold = None
        if speed_rpm == 0.0:
            self._stop((4, "stirs"))
            return
        self.pulse()
        self._tell(f"OUT_SP_4 {speed_rpm:.0f}")
        self._tell("START_4")
        if abs((said := self._set("IN_SP_4")) - speed_rpm) > 1.0 or self._active(4) is False:
            raise InstrumentFault(f"it does not stir: set to {said:g} rpm where {speed_rpm:g} was sent", kind="setup")

    @action(repeatable=True, stops=True)
    def off(self) -> None:
        """Switch heater and stirrer off."""
        self._hold = None
        self.stop()

    def progress(self, elapsed_s: float) -> Progress:
        """Read medium and plate. Raises InstrumentFault when a hold is not reached in time or the heater went off."""
        hold = self._hold
        if hold is None:
            return Progress(done=True)
        medium_c = self._temperature("IN_PV_1")
        readings = {
            "temperature": Reading(value=medium_c, unit="degC"),
            "plate": Reading(value=self._temperature("IN_PV_2"), unit="degC"),
        }
        look = hold.look(medium_c, elapsed_s, readings, every_s=LOOK_S)
        # Heat lasts: a plate that was switched off half-way is warm still at the end, and has held nothing since.
        if (hold.reached_s is None or look.done) and self._active(1) is False:
            raise InstrumentFault("its heater went off by itself (watchdog, safety circuit or power)", kind="off")
        if look.done and abs(self._set("IN_SP_1") - hold.wanted) > READ_BACK:
            raise InstrumentFault("its set value is another one than was sent", kind="off")
        return look

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Read set value and state back; how long a hold lasted, the plate does not know."""
        if action == "off":
            off = [self._active(channel) for channel in ACTIVE] == [False, False]
            return Verdict(state="done" if off else "not_begun", why=f"it is {'' if off else 'not known to be '}off")
        values = self.resolved(action, settings)
        channel, wanted = (4, values["speed_rpm"]) if action == "stir" else (1, values.get("temperature_c", 0.0))
        as_set = abs(self._set(f"IN_SP_{channel}") - float(wanted)) <= (1.0 if channel == 4 else READ_BACK)
        active = self._active(channel)
        as_asked: bool | None = active if as_set else False
        if action == "stir" and wanted == 0.0:
            as_asked = None if active is None else not active
        return self.became(
            action, act, written(float(wanted), "rpm" if channel == 4 else "degC"), as_asked,
            lambda: {"temperature": Amount(self._temperature("IN_PV_1"), "degC")},
        )  # fmt: skip

    def stop(self) -> None:
        """Switch heater and stirrer off; harmless twice. Raises InstrumentFault when one of them goes on."""
        self._stop((1, "heats"), (4, "stirs"))

    def stop_except(self, kept: frozenset[str]) -> None:
        """Switch off the heater or the stirrer, or neither."""
        stopped = [(1, "heats")] * (not kept & {"heat", "hold"}) + [(4, "stirs")] * ("stir" not in kept)
        self._stop(*stopped)

    def _stop(self, *channels: tuple[int, str]) -> None:
        if not channels:
            return
        active: list[bool | None] = []
        for _ in range(STOP_TRIES):
            self._say_stop(channels)
            if not self._tells():
                self._text("IN_NAME")  # nobody sees it stop: what is said between two answers was heard
                self._say_stop(channels)
                self._text("IN_NAME")
                return
            active = [self._active(channel) for channel, _what in channels]
            if all(one is False for one in active):
                return
        still = " and ".join(what for (_channel, what), one in zip(channels, active, strict=True) if one)
        raise InstrumentFault(f"it {still} after it was told to stop", kind="runaway")

    # --- how it is said -----------------------------------------------------------------------------------------

    def _say_stop(self, channels: Iterable[tuple[int, str]]) -> None:
        for channel, _what in channels:
            self._tell(f"STOP_{channel}")

    def _tells(self) -> bool:
        """Whether this firmware tells, or has just told; what nobody has found out yet is asked but once.

        That is enough for a stop, which has no time: one that is not seen to be done is made sure of otherwise.
        """
        if self._has_status is None:
            try:
                self._text("STATUS_1")
            except LinkTimeout:
                self._has_status = False
            else:
                self._has_status = True
        return self._has_status

    def _tells_status(self) -> bool:
        """Whether this firmware tells. Raises LinkTimeout where the plate is silent, and not its firmware."""
        lost = False
        for _ in range(STATUS_TRIES):
            try:
                self._text("STATUS_1")
            except LinkTimeout:
                try:
                    self._text("IN_NAME")
                except LinkTimeout:
                    if lost:
                        raise
                    lost = True
                    self._text("IN_NAME")
                continue
            return True
        return False

    def _heat(self, temperature_c: float) -> None:
        self.pulse()
        if self._hold is not None:
            self._hold.started = self._active(1) is not False  # where it heats, a set value acts at once
        self._tell(f"OUT_SP_1 {temperature_c:.1f}")
        if abs(self._set("IN_SP_1") - temperature_c) > READ_BACK:
            self._tell(f"OUT_SP_1 {temperature_c:.1f}")  # nothing was started: a lost line may be said again
        if self._hold is not None:
            self._hold.started = True
        self._tell("START_1")
        said = self._set("IN_SP_1")
        if said == 0.0 and temperature_c != 0.0:  # firmware that forgets the set value when the heater starts
            self._tell(f"OUT_SP_1 {temperature_c:.1f}")
            said = self._set("IN_SP_1")
        if abs(said - temperature_c) > READ_BACK:
            limit = self._set("IN_SP_3")
            self._tell("STOP_1")
            raise InstrumentFault(
                f"it is set to {said:g} degC where {temperature_c:g} degC was sent; its safety circuit stands at "
                f"{limit:g} degC. Turn the dial up if the set-up allows",
                kind="setup",
            )
        if self._active(1) is False:
            raise ProtocolError("the heater did not start")

    def _echoed(self, text: str, value: float) -> None:
        """Set a value of the watchdog, which is echoed."""
        said = self._number(f"{text}{value:g}")
        if abs(said - value) > READ_BACK:
            raise ProtocolError(f"{text}{value:g} was answered with {said:g}")

    def _active(self, channel: int) -> bool | None:
        """Whether heater (1) or stirrer (4) is on, said twice alike; None: this firmware does not say."""
        if self._has_status is None:
            self._has_status = self._tells_status()
        if not self._has_status:
            return None
        on, off = ACTIVE[channel]
        said = self._set(f"STATUS_{channel}")
        if said not in (on, off):
            raise ProtocolError(f"STATUS_{channel} was answered with {said:g}")
        return said == on

    def _set(self, text: str) -> float:
        """What it is set to, said twice alike: a line without a checksum loses a digit now and then."""
        return twice_alike(lambda: self._number(text), text)

    def _tell(self, text: str) -> None:
        self.exchange(self._codec, Command(text), ANSWER_S)

    def _text(self, text: str) -> str:
        said: str = self.exchange(self._codec, Command(text), ANSWER_S)
        return said

    def _temperature(self, text: str) -> float:
        return self._steady.read(lambda: self._number(text), text)

    def _number(self, text: str) -> float:
        return float(self._text(text))
