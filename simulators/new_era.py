"""New Era NE-1000 syringe pump, simulated from its manual (publication 1200-01, section 10).

Line: 19200 8N1, up to a hundred pumps (address 0 to 99) on one line; a pump is silent when another is addressed.

    basic frame    [address]COMMAND CR                           ->  STX aa s [data] ETX
    safe frame     STX length payload crc-high crc-low ETX       ->  STX length aas[data] crc-high crc-low ETX
    burst          0RUN*1RUN*2RUN* CR   (addresses 0 to 9, basic; all answer at once, which on a real line is gibberish)

Both framings are taken at any time; the answer is framed by the pump's mode as it is after the command (SAF0 basic,
SAF n safe with a watchdog of n seconds). length counts itself and what follows; the CRC is CCITT (0x1021, start 0) over
the payload. Spaces, control characters and case are ignored. A safe frame with 0.5 s between two bytes is dropped.

Status s: I infusing, W withdrawing, S stopped, P paused, T timed pause, X purging. An alarm is A?R (power-up),
A?S (stall), A?T (watchdog), A?E (program), A?O (phase): the command that meets it is answered with the alarm and is not
done; that answer clears it. In safe mode an alarm is also sent on its own. Errors are data: ? unknown, ?NA not now,
?OOR out of range, ?COM bad frame.

    DIA [mm]       diameter; setting it clears both totals and takes UL up to 14.0 mm, ML above, as the unit of volumes
    VOL [UL|ML|n]  volume to dispense (0: without end)     RAT [n[UM|MM|UH|MH]]   rate
    DIR [INF|WDR|REV]   RUN [phase]   STP (first pauses, second stops)   PUR   DIS   CLD INF|WDR
    PHN [n]   FUN [RAT|STP|PAS n|JMP n]   SAF [n]   ADR   VER   (nothing: status)

Numbers have at most four digits and three decimals; those sent back always have a point. Rates reach from 0.004205 cm/h
to 5.1005 cm/min of plunger. At the end of phase 1's volume phase 2 begins, which is STP unless programmed otherwise.

What stands behind the protocol: the plunger moves by the diameter that was *set*, the liquid by the syringe's own,
where its diameter is given (else it is whatever is set); the syringe holds ``stock`` (else ``syringe.volume``) at
first, and stalls when it is empty or full.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.world import World

from .new_era_drive import LAST_PHASE, RATES_ML_S, VOLUMES_ML, Drive
from .new_era_frames import PACKET_GAP_S, Frames, Heard, Refusal, framed, number, parse_number

VERSION = "V3.923"
DIAMETERS_MM = (0.1, 50.0)
UL_UP_TO_MM = 14.0
ROLLS_OVER_AT = 10000.0  # Four digits: after 9999 the dispensed volume begins at 0 again.


class NE1000:
    """options: address, syringe {volume, diameter}, stock, model (what VER calls it)."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        syringe = options.get("syringe", {})
        self.address = int(options.get("address", 0))
        if not 0 <= self.address <= 99:
            raise ValueError(f"{name}: address = {self.address} must lie between 0 and 99")
        self.model = str(options.get("model", "NE-1000")).replace("-", "")
        volume = syringe.get("volume", "60 mL")
        self.drive = Drive(
            world,
            name,
            bore_mm=amount(syringe["diameter"], "mm") if "diameter" in syringe else None,
            capacity_ml=amount(volume, "mL"),
            content_ml=amount(options.get("stock", volume), "mL"),
            on_alarm=self._raise_alarm,
        )
        self.shown = 0  # The phase that PHN has chosen, from 0
        self.alarm = "R"
        self.watchdog_s = 0
        self.heard_s: float | None = None
        self._frames = Frames(PACKET_GAP_S * world.speed)
        self._out = bytearray()
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        for byte in data:
            if (heard := self._frames.take(byte, now_s)) is not None:
                self._take(heard, now_s)
        out, self._out = bytes(self._out), bytearray()
        return out

    def _take(self, heard: Heard, now_s: float) -> None:
        if not heard.sound:
            if self._is_mine(heard.text)[0]:
                self._answer(self.drive.status + "?COM")
        elif re.fullmatch(r"(\d[A-Z][^*]*\*)+", heard.text):
            for part in heard.text.split("*")[:-1]:
                self._take_command(part, now_s)
        else:
            self._take_command(heard.text, now_s)

    def _is_mine(self, text: str) -> tuple[bool, str]:
        match = re.match(r"\*|\d{0,2}", text)
        address = match[0] if match is not None else ""
        if address == "*":
            return text[1:4] == "ADR" or text == "*RESET", text[1:]
        return int(address or 0) == self.address, text[len(address) :]

    def _take_command(self, text: str, now_s: float) -> None:
        mine, command = self._is_mine(text)
        if not mine:
            return
        self.heard_s = now_s
        if self.alarm and command != "RESET":
            alarm, self.alarm = self.alarm, ""
            self._answer("A?" + alarm)
            return
        try:
            data = self._do(command, now_s)
        except Refusal as refusal:
            data = str(refusal)
        self._answer(self.drive.status + data)

    def _answer(self, text: str) -> None:
        self._out += framed(f"{self.address:02d}{text}", safe=self.watchdog_s > 0)

    # -- commands ----------------------------------------------------------------------------------------------------
    def _do(self, command: str, now_s: float) -> str:
        if not command:
            return ""
        name, rest = command[:3], command[3:]
        match name:
            case "DIA":
                return self._diameter(rest)
            case "VOL":
                return self._volume(rest)
            case "RAT":
                return self._rate(rest)
            case "DIR":
                return self._direction(rest)
            case "RUN":
                return self._run(rest, now_s)
            case "STP" if not rest:
                return self._stop(now_s)
            case "PUR" if not rest:
                return self._purge(now_s)
            case "DIS" if not rest:
                scale = VOLUMES_ML[self.drive.volume_unit]
                infused, withdrawn = (
                    total / scale % ROLLS_OVER_AT for total in (self.drive.infused_ml, self.drive.withdrawn_ml)
                )
                return f"I{number(infused)}W{number(withdrawn)}{self.drive.volume_unit}"
            case "CLD":
                return self._clear(rest)
            case "PHN":
                return self._phase(rest)
            case "FUN":
                return self._function(rest)
            case "SAF":
                return self._safe(rest)
            case "ADR":
                return self._address(rest)
            case "VER" if not rest:
                return self.model + VERSION
            case "RES" if rest == "ET":
                self.drive.halt(now_s)
                self.drive.forget_program()
                self.shown = 0
                return ""
        raise Refusal("?")

    def _idle_only(self) -> None:
        if self.drive.busy:
            raise Refusal("?NA")

    def _diameter(self, rest: str) -> str:
        if not rest:
            return number(self.drive.diameter_mm)
        wanted = parse_number(rest)
        self._idle_only()
        if not DIAMETERS_MM[0] <= wanted <= DIAMETERS_MM[1]:
            raise Refusal("?OOR")
        self.drive.diameter_mm = wanted
        self.drive.volume_unit = "UL" if wanted <= UL_UP_TO_MM else "ML"
        self.drive.infused_ml = self.drive.withdrawn_ml = 0.0
        return ""

    def _volume(self, rest: str) -> str:
        phase = self.drive.phases[self.shown]
        if not rest:
            return number(phase.volume) + self.drive.volume_unit
        wanted = None if rest in VOLUMES_ML else parse_number(rest)
        self._idle_only()
        if wanted is None:
            self.drive.volume_unit = rest
        else:
            phase.volume = wanted
        return ""

    def _rate(self, rest: str) -> str:
        phase = self.drive.phases[self.shown]
        if not rest:
            return number(phase.rate) + phase.rate_unit
        match = re.fullmatch(r"([\d.]+)(UM|MM|UH|MH)?", rest)
        if match is None:
            raise Refusal("?")
        wanted, unit = parse_number(match[1]), match[2] or phase.rate_unit
        if self.drive.moves and unit != phase.rate_unit:
            raise Refusal("?NA")
        self._check_rate(wanted, unit)
        if self.drive.moves and wanted == 0:
            raise Refusal("?OOR")
        phase.rate, phase.rate_unit = wanted, unit
        return ""

    def _check_rate(self, rate: float, unit: str) -> None:
        if rate and not self.drive.allows(rate * RATES_ML_S[unit]):
            raise Refusal("?OOR")

    def _direction(self, rest: str) -> str:
        phase = self.drive.phases[self.shown]
        if not rest:
            return "WDR" if phase.withdraws else "INF"
        if rest not in ("INF", "WDR", "REV"):
            raise Refusal("?")
        self._idle_only()
        phase.withdraws = not phase.withdraws if rest == "REV" else rest == "WDR"
        return ""

    def _run(self, rest: str, now_s: float) -> str:
        if rest and not re.fullmatch(r"\d{1,2}", rest):
            raise Refusal("?")
        self._idle_only()
        if rest and not 1 <= int(rest) <= LAST_PHASE:
            raise Refusal("?OOR")
        if self.drive.status == "P" and not rest:
            self.drive.resume(now_s)
            return ""
        first = int(rest) - 1 if rest else 0
        phase = self.drive.phases[first]
        if phase.function == "RAT":
            if not phase.rate:
                raise Refusal("?NA")
            self._check_rate(phase.rate, phase.rate_unit)
        self.drive.run(first, now_s)
        return ""

    def _stop(self, now_s: float) -> str:
        if self.drive.busy:
            self.drive.pause(now_s)
        elif self.drive.status == "P":
            self.drive.halt(now_s)
        else:
            raise Refusal("?NA")
        return ""

    def _purge(self, now_s: float) -> str:
        self._idle_only()
        self.drive.purge(self.shown, now_s)
        return ""

    def _clear(self, rest: str) -> str:
        if rest not in ("INF", "WDR"):
            raise Refusal("?")
        self._idle_only()
        if rest == "INF":
            self.drive.infused_ml = 0.0
        else:
            self.drive.withdrawn_ml = 0.0
        return ""

    def _phase(self, rest: str) -> str:
        if not rest:
            return f"{self.shown + 1:02d}"
        if not rest.isdecimal():
            raise Refusal("?")
        self._idle_only()
        if not 1 <= int(rest) <= LAST_PHASE:
            raise Refusal("?OOR")
        self.shown = int(rest) - 1
        return ""

    def _function(self, rest: str) -> str:
        phase = self.drive.phases[self.shown]
        if not rest:
            return phase.function + (f"{phase.argument:02d}" if phase.function in ("PAS", "JMP") else "")
        match = re.fullmatch(r"(RAT|STP)|(PAS|JMP)(\d{1,2})", rest)
        if match is None:
            raise Refusal("?")
        self._idle_only()
        function, argument = match[1] or match[2], int(match[3] or 0)
        if function == "JMP" and not 1 <= argument <= LAST_PHASE:
            raise Refusal("?OOR")
        phase.function, phase.argument = function, argument
        return ""

    def _safe(self, rest: str) -> str:
        if not rest:
            return str(self.watchdog_s)
        if not rest.isdecimal():
            raise Refusal("?")
        if int(rest) > 255:
            raise Refusal("?OOR")
        self.watchdog_s = int(rest)
        return ""

    def _address(self, rest: str) -> str:
        if not rest:
            return f"{self.address:02d}"
        if not rest.isdecimal():
            raise Refusal("?")
        if int(rest) > 99:
            raise Refusal("?OOR")
        self.address = int(rest)
        return ""

    # -- time --------------------------------------------------------------------------------------------------------
    def _watch_ends_s(self) -> float:
        if not self.watchdog_s or self.heard_s is None:
            return math.inf
        return self.heard_s + self.watchdog_s * self.world.speed

    def due(self, now_s: float) -> float | None:
        at_s = min(self.drive.due(), self._watch_ends_s())
        return None if math.isinf(at_s) else at_s

    def advance(self, now_s: float) -> None:
        if (ends_s := self._watch_ends_s()) <= now_s:
            self.drive.advance(ends_s)
            self.heard_s = None  # Manual 10.2.3: the timer starts again with the next valid packet.
            self.drive.halt(ends_s)
            self._raise_alarm("T")
        self.drive.advance(now_s)

    def _raise_alarm(self, alarm: str) -> None:
        self.alarm = alarm
        if self.watchdog_s:
            self._answer("A?" + alarm)

    # -- by hand, and state ------------------------------------------------------------------------------------------
    def refill(self, volume_ul: float) -> None:
        """A person fills or changes the syringe: so much stands in it now, as far as it goes in."""
        self.drive.content_ml = min(max(volume_ul / 1e3, 0.0), self.drive.capacity_ml)

    def stall(self, now_s: float) -> None:
        """The plunger is blocked: what runs stops with the alarm A?S."""
        self.world.settle(now_s)
        if self.drive.moves:
            self.drive.halt(now_s)
            self._raise_alarm("S")

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: motion ends, totals are lost, the alarm A?R stands; settings and SAF are kept."""
        self.world.settle(now_s)
        self.drive.halt(now_s)
        self.drive.infused_ml = self.drive.withdrawn_ml = 0.0
        self.heard_s = None
        self._frames.forget()
        self._out.clear()
        self._raise_alarm("R")

    def state(self) -> Mapping[str, Any]:
        return {**{name: getattr(self, name) for name in _KEPT}, "drive": self.drive.state()}

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.drive.restore(state["drive"])


_KEPT = ("address", "shown", "alarm", "watchdog_s", "heard_s")
