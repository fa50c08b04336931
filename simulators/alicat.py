"""Alicat MC mass flow controller, simulated from its manuals (MC series p. 36 and 43, standard devices p. 32) and from
answers of an MC-500SCCM-D with firmware 10v20 that others have recorded (some of them kept in alicatlib 0.3.1).

Line: 19200 8N1, up to 26 devices on it, told apart by a letter (option ``address``, A if left out); case does not
matter. A command is the letter and what follows, ended with CR; the answer is one line (or several) ended with CR.
Other letters are passed over. ``?`` answers what is unknown or refused.

    A            data frame: pressure (psia), temperature, volumetric and mass flow, setpoint, gas, words
    AS12.5       setpoint (AS 12.5 too); answered with a data frame       A16000   the same as part of 64000
    ALS          flow, setpoint, unit number and unit; ALS 12.5 sets it   ALSS [A|S|U]  where the setpoint comes from
    AHC AHP AC   hold the valve closed, hold it as it is, end that        AV  zero the flow reading
    AVE          firmware        A??M* A??M4  maker's list, or a line     A??D*  the frame's layout     A??G*  gases
    AFPF 5  ADCU 5  full scale and unit of the mass flow                  ALV  what is controlled, as AR122
    AG 8         gas             AR122 AW122=37  what is controlled       A@ B   another letter
    $$ after the letter is passed over, as older firmware wants it there.

MOV stands after the frame when the flow is beyond 102 % of full scale (somebody opened the valve by hand), HLD while
the valve is held. Our reading: a setpoint outside 0 to full scale is refused (others take
the manual's "limited to the controller range limits" for a clamp; a driver that reads its setpoint back sees either).

What stands behind it: gas at 44.7 psia in front of the valve; the flow follows the setpoint with 0.2 s. With U as the
source a setpoint is forgotten when the mains goes, with S it is not. Options: ``full_scale``; ``gas`` (else N2).
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.thermal import Leg, leg_of
from labloop.simulation.world import World

TAU_S = 0.2
SUPPLY_PSIA, ROOM_PSIA, STANDARD_PSIA, GAS_C, STANDARD_C = 44.7, 14.7, 14.696, 22.0, 25.0
GASES = {0: "Air", 1: "Ar", 4: "CO2", 6: "H2", 7: "He", 8: "N2", 11: "O2"}
STATUS = ("OPL", "POV", "P2O", "TOV", "VOV", "MOV", "TMF", "OVR", "COM", "HLD", "EXH", "GTA", "LCK")
LONGEST = 128
FIRMWARE = "10v20.0-R24 Jan  9 2025,15:04:07"


class MC:
    """options: address, full_scale, gas, serial."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.address = str(options.get("address", "A"))
        self.full_ml_min = amount(options.get("full_scale", "500 mL/min"), "mL/min")
        self.unit, self._unit = ("SLPM", 1000.0) if self.full_ml_min >= 2000.0 else ("SCCM", 1.0)
        self.gas, self.serial = str(options.get("gas", "N2")), str(options.get("serial", "123456"))
        self.setpoint = 0.0  # in mL/min, as all flows here
        self.source, self.control = "S", 37
        self.held: str | None = None
        self.zero = 0.0
        self.supply = True
        self.passed_ml = 0.0
        self.leg = Leg(began_s=0.0, start_c=0.0, goal_c=0.0, tau_s=TAU_S)
        self._line = bytearray()
        self._flows = False
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        out = bytearray()
        for byte in data:
            if byte == 0x0D:
                line = bytes(self._line).decode("ascii", "replace").lstrip("\n")
                self._line.clear()
                for answer in self._take(line, now_s):
                    out += f"{answer}\r".encode("ascii")
            else:
                self._line.append(byte)
                del self._line[LONGEST + 1 :]  # too long to be a command
        return bytes(out)

    def _take(self, line: str, now_s: float) -> list[str]:
        if line[:1].upper() != self.address or len(line) > LONGEST:
            return []
        return self._do(line[1:].removeprefix("$$").strip().upper(), now_s) or ["?"]

    def _do(self, command: str, now_s: float) -> list[str]:
        """The lines of the answer; none is a refusal."""
        if not command:
            return [self._frame(now_s)]
        if setting := re.fullmatch(r"S ?(-?\d+\.?\d*)", command):
            return self._set(float(setting[1]) * self._unit, now_s)
        if setting := re.fullmatch(r"LS (-?\d+\.?\d*)", command):
            return self._set(float(setting[1]) * self._unit, now_s) and self._ask("LS", now_s)
        if command.isdecimal():  # the old way, which this device still takes
            return self._set(int(command) / 64000.0 * self.full_ml_min, now_s)
        if command in ("HC", "HP", "C", "H"):
            return self._hold({"HC": "closed", "HP": "as it is", "H": "as it is", "C": None}[command], now_s)
        return self._ask(command, now_s) or self._setup(command, now_s)

    def _ask(self, command: str, now_s: float) -> list[str]:
        lines = {
            "VE": [f"{self.address}   {FIRMWARE}"],
            "LS": [f"{self.address} {self._number(self._flow(now_s))} {self._number(self.setpoint)} {self._label}"],
            "LSS": [f"{self.address} {self.source}"],
            "LV": [f"{self.address} {self.control}"],
            "DCU 5": [f"{self.address} {self._label}"],
            "FPF 5": [f"{self.address} {self._number(self.full_ml_min)} {self._label}"],
            "R122": [f"{self.address}   122 = {self.control}"],
            "R46": [f"{self.address}   046 = {next(n for n, gas in GASES.items() if gas == self.gas)}"],
            "??M*": self._maker(),
            "??D*": self._layout(),
            "??G*": [f"{self.address} G{number:02d}      {gas}" for number, gas in GASES.items()],
        }
        if command in lines:
            return lines[command]
        if line := re.fullmatch(r"\?\?M0?(\d)", command):
            return self._maker()[int(line[1]) : int(line[1]) + 1]
        return []

    def _setup(self, command: str, now_s: float) -> list[str]:
        if source := re.fullmatch(r"LSS ([ASU])", command):
            self.source = source[1]
            return [f"{self.address} {self.source}"]
        if gas := re.fullmatch(r"(?:GS? ?|W46=)(\d+)", command):
            if int(gas[1]) not in GASES:
                return []
            self.gas = GASES[int(gas[1])]
            return self._ask("R46", now_s) if command.startswith("W") else [self._frame(now_s)]
        if control := re.fullmatch(r"W122=(3[467])", command):
            self.control = int(control[1])
            return self._ask("R122", now_s)
        if letter := re.fullmatch(r"@ ?=? ?([A-Z])", command):
            self.address = letter[1]
            return [self._frame(now_s)]
        if command == "V":
            self.zero = self._true(now_s)  # with gas flowing this spoils every later reading
            return [self._frame(now_s)]
        return []

    # -- what it says ------------------------------------------------------------------------------------------------
    def _number(self, value: float) -> str:
        """In the device's unit: a sign, five digits, a point."""
        scale = self.full_ml_min / self._unit
        decimals = 4 - max(0, math.floor(math.log10(scale * 1.28)))
        return f"{value / self._unit:+07.{decimals}f}"

    @property
    def _label(self) -> str:
        return {"SCCM": "12 SCCM", "SLPM": "7 SLPM"}[self.unit]

    def _frame(self, now_s: float) -> str:
        flow = self._flow(now_s)
        volumetric = flow * STANDARD_PSIA / self._psia * (GAS_C + 273.15) / (STANDARD_C + 273.15)
        numbers = [f"{self._psia:+07.2f}", f"{GAS_C:+07.2f}"]
        numbers += [self._number(value) for value in (volumetric, flow, self.setpoint)]
        words = [word for word, on in (("MOV", flow > 1.02 * self.full_ml_min), ("HLD", self.held is not None)) if on]
        return " ".join([self.address, *numbers, f"{self.gas:>6}", *words])

    def _maker(self) -> list[str]:
        size = f"{self.full_ml_min / self._unit:g}{self.unit}"
        values = [
            "ALICAT SCIENTIFIC", "www.example.com", "Ph   555-555-0000", "info@example.com",
            f"Model Number MC-{size}-D", f"Serial Number {self.serial}",
            "Date Manufactured 01/09/2025", "Date Calibrated   01/10/2025", "Calibrated By     DL",
            f"Software Revision {FIRMWARE.split()[0]}",
        ]  # fmt: skip
        return [f"{self.address}  M{n:02d} {value}" for n, value in enumerate(values)]

    def _layout(self) -> list[str]:
        code, unit = self._label.split()
        flow = f"{int(code):03d} 02 {unit}"
        fields = [
            ("700 Unit ID", "string", "1", ""), ("002 Abs Press", "s decimal", "7/2", "010 02 PSIA"),
            ("003 Flow Temp", "s decimal", "7/2", "002 02 `C"),
            ("004 Volu Flow", "s decimal", "7/2", flow.replace("SCCM", "CCM").replace("SLPM", "LPM")),
            ("005 Mass Flow", "s decimal", "7/2", flow), ("037 Mass Flow Setpt", "s decimal", "7/2", flow),
            ("703 Gas", "string", "6", ""), ("701 *Error", "string", "3", "ADC"),
            *(("702 *Status", "string", "3", word) for word in STATUS),
        ]  # fmt: skip
        rows = ["D00 ID_ NAME______________________ TYPE_______ WIDTH NOTES___________________"]
        for n, (name, kind, width, note) in enumerate(fields, start=1):
            rows.append(f"D{n:02d} {name:30} {kind:11} {width:>5} {note}".rstrip())
        return [f"{self.address} {row}" for row in rows]

    # -- what it does ------------------------------------------------------------------------------------------------
    @property
    def _psia(self) -> float:
        return SUPPLY_PSIA if self.supply else ROOM_PSIA

    def _true(self, now_s: float) -> float:
        return self.leg.at(now_s)

    def _flow(self, now_s: float) -> float:
        return self._true(now_s) - self.zero

    def _set(self, setpoint: float, now_s: float) -> list[str]:
        if self.source == "A":
            return [self._frame(now_s)]  # taken, and not followed
        if not 0.0 <= setpoint <= self.full_ml_min * (1.0 + 1e-9):
            return []
        self.setpoint = setpoint
        self._steer(now_s)
        return [self._frame(now_s)]

    def _hold(self, held: str | None, now_s: float) -> list[str]:
        self.held = held
        self._steer(now_s)
        return [self._frame(now_s)]

    def _steer(self, now_s: float) -> None:
        goal = {None: self.setpoint, "closed": 0.0, "as it is": self._true(now_s)}[self.held]
        goal = goal if self.supply else 0.0
        if goal != self.leg.goal_c:
            self._count(now_s)
            self.leg = Leg(began_s=now_s, start_c=self._true(now_s), goal_c=goal, tau_s=TAU_S)
        flows = goal > 0.0
        if flows and not self._flows:
            self.passed_ml = 0.0
            self.world.ledger.begin(now_s, self.name, "flow", 0.0, "mL")
        elif self._flows and not flows:
            self.world.ledger.end(now_s, self.name, "flow", self.passed_ml, "mL")
        self._flows = flows

    def _count(self, now_s: float) -> None:
        """What passed since the leg began: the integral of an exponential approach."""
        elapsed_s = now_s - self.leg.began_s
        gap = self.leg.start_c - self.leg.goal_c
        self.passed_ml += (self.leg.goal_c * elapsed_s + gap * TAU_S * (1.0 - math.exp(-elapsed_s / TAU_S))) / 60.0

    def due(self, now_s: float) -> float | None:
        return None

    def advance(self, now_s: float) -> None:
        """Its flow is known at any time, so nothing is to be done."""

    # -- by hand, and state ------------------------------------------------------------------------------------------
    def stall(self, now_s: float) -> None:
        """The gas in front of the valve is used up, or its tap is closed."""
        self.world.settle(now_s)
        self.supply = False
        self._steer(now_s)

    def open_by_hand(self, now_s: float) -> None:
        """The valve is pushed open: more gas flows than the device can measure."""
        self.world.settle(now_s)
        self.leg = Leg(began_s=now_s, start_c=1.1 * self.full_ml_min, goal_c=1.1 * self.full_ml_min, tau_s=TAU_S)

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: the valve is held no more; a saved setpoint is followed, another is forgotten."""
        self.world.settle(now_s)
        if self.source != "S":
            self.setpoint = 0.0
        self.held = None
        self._line.clear()
        self._steer(now_s)

    def state(self) -> Mapping[str, Any]:
        return {**{name: getattr(self, name) for name in _KEPT}, "leg": self.leg.state(), "flows": self._flows}

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.leg, self._flows = leg_of(state["leg"]), state["flows"]


_KEPT = ("address", "gas", "setpoint", "source", "control", "held", "zero", "supply", "passed_ml")
