"""GRBL 1.1h controller with a three-axis stage and a spindle, simulated from its own documents (gnea/grbl:
doc/markdown/interface.md, commands.md, jogging.md, doc/csv) and, where they are silent, its source.

Line: 115200 8N1. A line of G-code or a ``$`` command is answered ``ok`` or ``error:N``, each line once and in order.
Some bytes never enter the line and act at once: ``?`` report, ``!`` hold, ``~`` resume, 18 reset, 85 jog cancel; 84 and
90 to A0 (door, overrides) are heard and ignored here, as other bytes above 7F are on the instrument.

    ?      <Idle|MPos:0.000,0.000,0.000|FS:0,0>     WCO in the first and then every 30th report (10th in motion), Ov and
           A in the one after. $10 has 1 for MPos (else WPos) and 2 for Bf. Not answered while it homes (then once, at
           the end) nor in a critical alarm.
    motion waits in a planner of 15; its ok comes when it is planned. What waits for the planner to be empty (G4, M3,
           M5, S, G10, G92) holds its ok back, and everything behind it waits in a receive buffer of 128; what does not
           fit there is lost.
    G4     leaves the state Idle; above 3276.75 s its counter of 16 bits runs over
    $J=    jogs: no line but jogs until it stands; 85 or ! slows it down, forgets the rest and gives Idle back
    $H     homes (ok at the end, nothing is answered meanwhile but 18); error:5 without $22
    18     ends everything and says "Grbl 1.1h ['$' for help]". In motion the position is lost: ALARM:3 (6 in homing)
    $20    soft limits: a target outside is ALARM:2. Hard limits (stall()): ALARM:1. Both lock everything until 18.

After an alarm only $ commands work until $H or $X. At power-up the position is 0 and, with $22, the state Alarm.
Machine coordinates reach from -$130 to 0 with the switches at 0, as homing leaves it.

Our simplifications: every motion comes to rest at its end; startup lines, the safety door and $RST are not there.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from labloop.simulation.world import World

from .grbl_gcode import Line, Modes, Refused, Typed, read_line
from .grbl_machine import Machine
from .grbl_report import Reports
from .grbl_settings import Settings

RX_BUFFER, PLANNER = 128, 15
WELCOME = "\r\nGrbl 1.1h ['$' for help]"
UNLOCK = "[MSG:'$H'|'$X' to unlock]"


class Grbl:
    """options: ``travel: {x: [-200 mm, 0 mm]}``, ``speed: [200 rpm, 6000 rpm]``, ``name``, ``homing`` (else: a travel),
    ``settings`` (GRBL's: ``{"120": 500}``), ``at: {x: -30 mm}`` (where it really is at power-up), ``homed: true``."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.settings = Settings(options)
        self.info = str(options.get("name", "")).upper().replace(" ", "")  # as $I= would keep it
        self.machine = Machine(world, name, self.settings, options.get("at") or {})
        self.motion = self.machine.motion
        self.reports = Reports(self.machine)
        self.modes = Modes()
        self.condition = "Alarm" if self.settings[22] else "Idle"
        self.critical = False  # locked by a limit until 18
        self.soft = False  # slowing down before the alarm of a soft limit
        self.typed = Typed()
        self.pending = ""  # a line whose ok waits for the planner
        self.dwells_until_s: float | None = None
        self.dwell_left_s: float | None = None  # of a dwell that is held
        self.homes_until_s: float | None = None
        self.asked = False  # a ? while homing
        self._rx = bytearray()
        self._out = bytearray()
        if options.get("homed"):
            self.machine.stand_at_home()
            self.condition = "Idle"
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        for byte in data:
            self._hear(byte, now_s)
            self._work(now_s)
        out, self._out = bytes(self._out), bytearray()
        return out

    def _hear(self, byte: int, now_s: float) -> None:
        if byte == 0x18:
            self._reset(now_s)
        elif byte == ord("?"):
            self._report_asked(now_s)
        elif byte == ord("!"):
            self._hold(now_s)
        elif byte == ord("~"):
            self._resume(now_s)
        elif byte == 0x85:
            if self.condition == "Jog":
                self.motion.hold(now_s)
        elif byte < 0x80 and len(self._rx) < RX_BUFFER:
            self._rx.append(byte)

    def _say(self, *lines: str) -> None:
        self._out += b"".join(line.encode("ascii") + b"\r\n" for line in lines)

    @property
    def _busy(self) -> bool:
        """Whether its main loop is held up, so that lines wait in the buffer."""
        waits = bool(self.pending) or self.dwells_until_s is not None or self.dwell_left_s is not None
        return waits or self.critical or self.motion.holds or self.condition in ("Home", "Hold", "Sleep")

    def _work(self, now_s: float) -> None:
        """Read lines out of the buffer and do them, until one has to wait."""
        while self._rx and not self._busy:
            line = self.typed.take(chr(self._rx.pop(0)))
            if line is not None:
                self._answer(11 if line.overflows else self._do(line.text, now_s))
        if self.motion.blocks and not self.motion.moves and self.condition == "Idle":
            self._set_off("Run", now_s)

    def _answer(self, code: int | None) -> None:
        """None: its answer comes later, or was given."""
        if code is not None:
            self._say("ok" if code == 0 else f"error:{code}")

    # -- lines -------------------------------------------------------------------------------------------------------
    def _do(self, line: str, now_s: float) -> int | None:
        try:
            if line.startswith("$"):
                return self._system(line[1:], now_s)
            if not line:
                return 0
            return 9 if self.condition in ("Alarm", "Jog") else self._gcode(line, now_s)
        except Refused as refused:
            return refused.code

    def _system(self, command: str, now_s: float) -> int | None:
        tells: dict[str, Callable[[], list[str]]] = {
            "": lambda: ["[HLP:$$ $# $G $I $N $x=val $Nx=line $J=line $SLP $C $X $H ~ ! ? ctrl-x]"],
            "$": self.settings.lines,
            "G": lambda: [f"[GC:{self.modes.line()}]"],
        }
        if command.startswith("J"):
            return self._jog(command, now_s)
        if command in tells:
            if command == "$" and self.condition == "Run":
                return 8
            self._say(*tells[command]())
            return 0
        if command == "X":
            if self.condition == "Alarm":
                self._say("[MSG:Caution: Unlocked]")
                self.condition = "Idle"
            return 0
        if command == "C":
            return self._check_mode(now_s)
        return self._at_rest(command, now_s) if self.condition in ("Idle", "Alarm") else 8

    def _at_rest(self, command: str, now_s: float) -> int | None:
        tells: dict[str, Callable[[], list[str]]] = {
            "I": lambda: [f"[VER:1.1h.20190830:{self.info}]", f"[OPT:V,{PLANNER},{RX_BUFFER}]"],
            "#": self.reports.parameters,
            "N": lambda: ["$N0=", "$N1="],
        }
        if command in tells:
            self._say(*tells[command]())
        elif command == "H":
            if not self.settings[22]:
                return 5
            self.homes_until_s = now_s + self.machine.home(now_s)
            self.condition = "Home"
            return None
        elif command == "SLP":
            self._spin("M5", 0.0, now_s)
            self._say("[MSG:Sleeping]")
            self.condition = "Sleep"
        elif command.startswith("I="):
            self.info = command[2:]
        else:
            return self.settings.set(command)
        return 0

    def _check_mode(self, now_s: float) -> int | None:
        if self.condition == "Check":
            self._say("[MSG:Disabled]", "ok")
            self._reset(now_s)
            return None
        if self.condition != "Idle":
            return 8
        self.condition = "Check"
        self._say("[MSG:Enabled]")
        return 0

    def _jog(self, command: str, now_s: float) -> int | None:
        if self.condition not in ("Idle", "Jog"):
            return 8
        if not command.startswith("J="):
            return 3
        line = read_line(command[2:], self.modes, jog=True)
        target = self.machine.target(line)
        if self.machine.outside(target):
            return 15
        if len(self.motion.blocks) >= PLANNER:
            self.pending = f"${command}"
            return None
        self.machine.queue(target, line.feed or 0.0)
        if self.condition == "Idle" and self.motion.blocks:
            self._set_off("Jog", now_s)
        return 0

    def _gcode(self, text: str, now_s: float) -> int | None:
        line = read_line(text, self.modes)
        moves = bool(line.axes) and not line.has("G10", "G92")
        if (self._syncs(line) and self.motion.blocks) or (moves and len(self.motion.blocks) >= PLANNER):
            self.pending = text
            return None
        if self.condition == "Check":
            self.modes = line.modes
            return 0
        if (line.modes.spindle, line.modes.speed) != (self.modes.spindle, self.modes.speed):
            self._spin(line.modes.spindle, line.modes.speed, now_s)
        if line.has("G10", "G92", "G92.1"):
            self._set_offset(line)
        target = self.machine.target(line) if moves else None
        self.modes = line.modes
        if target is not None:
            if self.machine.outside(target):
                self._soft_limit(now_s)
                return None
            self.machine.queue(target, line.modes.feed if line.modes.motion == "G1" else 1e9)
        if line.dwell_s is not None:
            ticks = int(-(-line.dwell_s * 20.0 // 1.0)) & 0xFFFF
            self.dwells_until_s = now_s + ticks / 20.0
            return None
        return self._program(line, now_s)

    def _syncs(self, line: Line) -> bool:
        """Whether it waits for the planner to be empty."""
        changed = (line.modes.spindle, line.modes.coolant) != (self.modes.spindle, self.modes.coolant)
        faster = self.modes.spindle != "M5" and line.modes.speed != self.modes.speed
        return changed or faster or line.has("G4", "G10", "G92", "G92.1", "M0", "M2", "M30")

    def _set_offset(self, line: Line) -> None:
        if line.has("G92.1"):
            self.machine.shift = [0.0, 0.0, 0.0]
        else:
            self.machine.set_offset(line)
        self.reports.wco_in = 0

    def _program(self, line: Line, now_s: float) -> int:
        if line.has("M0"):
            self.condition = "Hold"
        elif line.has("M2", "M30"):
            self._spin("M5", 0.0, now_s)
            self.modes = Modes(motion="G1", units=self.modes.units, feed=self.modes.feed, tool=self.modes.tool)
            self._say("[MSG:Pgm End]")
        return 0

    # -- what it does ------------------------------------------------------------------------------------------------
    def _set_off(self, condition: str, now_s: float) -> None:
        self.condition = condition
        self.machine.set_off(now_s)

    def _spin(self, spindle: str, speed: float, now_s: float) -> None:
        self.machine.spin(spindle, speed, now_s)
        self.reports.ov_in = 0

    def _hold(self, now_s: float) -> None:
        if self.condition == "Jog":
            self.motion.hold(now_s)
        elif self.condition in ("Run", "Idle"):
            self.condition = "Hold"
            self.motion.hold(now_s)
            if self.dwells_until_s is not None:
                self.dwell_left_s, self.dwells_until_s = self.dwells_until_s - now_s, None

    def _resume(self, now_s: float) -> None:
        if self.condition != "Hold" or self.motion.holds:
            return
        self.condition = "Idle"
        if self.dwell_left_s is not None:
            self.dwells_until_s, self.dwell_left_s = now_s + self.dwell_left_s, None
        if self.motion.blocks:
            self._set_off("Run", now_s)

    def _report_asked(self, now_s: float) -> None:
        if self.condition == "Home":
            self.asked = True
        elif not self.critical:
            self._report(now_s)

    def _report(self, now_s: float) -> None:
        room = (PLANNER - len(self.motion.blocks), RX_BUFFER - len(self._rx))
        self._say(self.reports.report(self.condition, self.modes, room, now_s))

    def _soft_limit(self, now_s: float) -> None:
        """It slows down first, and keeps its position; the line is never answered."""
        self.soft = True
        if self.motion.moves:
            self.condition = "Hold"
            self.motion.hold(now_s)
        else:
            self._alarm(2, now_s)

    def _alarm(self, code: int, now_s: float) -> None:
        """A critical one: everything stands, and nothing is answered until 18."""
        self.machine.stop_dead(now_s)
        self._spin("M5", 0.0, now_s)
        self.condition, self.critical, self.soft = "Alarm", True, False
        self._say(f"ALARM:{code}", "[MSG:Reset to continue]")

    def _reset(self, now_s: float) -> None:
        self._spin("M5", 0.0, now_s)
        if self.condition == "Home":
            self.machine.not_homed(now_s)
            self._say("ALARM:6")
            self.condition = "Alarm"
        elif self.motion.moves:
            self.machine.stop_dead(now_s)
            self._say("ALARM:3")
            self.condition = "Alarm"
        self.machine.end_act(now_s)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.motion.flush()
        self.modes = Modes()
        self.machine.shift = [0.0, 0.0, 0.0]
        self.critical = self.soft = self.asked = False
        self.typed, self.pending = Typed(), ""
        self.dwells_until_s = self.dwell_left_s = self.homes_until_s = None
        self.reports.wco_in = self.reports.ov_in = 0
        self._rx.clear()
        self._say(WELCOME)
        if self.condition in ("Alarm", "Sleep"):
            self.condition = "Alarm"
            self._say(UNLOCK)
        else:
            self.condition = "Idle"

    # -- time --------------------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        times = (self.motion.due(), self.dwells_until_s, self.homes_until_s)
        return min((at_s for at_s in times if at_s is not None), default=None)

    def advance(self, now_s: float) -> None:
        while (at_s := self.due(now_s)) is not None and at_s <= now_s:
            if at_s == self.motion.due():
                self._moved(at_s)
            elif at_s == self.dwells_until_s:
                self.dwells_until_s = None
                self._say("ok")
            else:
                self._homed(at_s)
            self._go_on(at_s)

    def _moved(self, at_s: float) -> None:
        held = self.motion.holds
        self.motion.step(at_s)
        if self.motion.moves:
            return
        if self.condition == "Jog" and held:
            self.motion.flush()
        self.machine.end_act(at_s)
        if self.soft:
            self._alarm(2, at_s)
        elif self.condition != "Hold":
            self.condition = "Idle"

    def _homed(self, at_s: float) -> None:
        self.homes_until_s = None
        self.machine.homed(at_s)
        if self.asked:
            self.asked = False
            self._report(at_s)
        self.condition = "Idle"
        self._say("ok")

    def _go_on(self, at_s: float) -> None:
        """What waited may have its turn now."""
        if self.pending and not self.critical and self.condition != "Hold":
            line, self.pending = self.pending, ""
            self._answer(self._do(line, at_s))
        self._work(at_s)

    def stall(self, now_s: float) -> None:
        """The stage runs against a limit switch: with hard limits on, everything stops."""
        self.world.settle(now_s)
        if self.motion.moves and self.settings[21]:
            self._alarm(1, now_s)

    def power_cycle(self, now_s: float) -> None:
        """The mains (or a toggled DTR line) reset it: it believes to stand at 0, and forgets all but its settings."""
        self.world.settle(now_s)
        self._spin("M5", 0.0, now_s)
        if self.condition == "Home":
            self.machine.not_homed(now_s)
        self.machine.forget_position(now_s)
        self._out.clear()
        self.condition = "Alarm" if self.settings[22] else "Idle"
        self._begin_anew()

    def state(self) -> Mapping[str, Any]:
        return {
            **{name: getattr(self, name) for name in _KEPT},
            "modes": asdict(self.modes),
            "typed": asdict(self.typed),
            "settings": self.settings.state(),
            "machine": self.machine.state(),
            "reports": [self.reports.wco_in, self.reports.ov_in],
            "rx": self._rx.decode("latin-1"),
        }

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.modes, self.typed = Modes(**state["modes"]), Typed(**state["typed"])
        self.settings.restore(state["settings"])
        self.machine.restore(state["machine"])
        self.reports.wco_in, self.reports.ov_in = state["reports"]
        self._rx = bytearray(state["rx"].encode("latin-1"))


_KEPT = (
    "info", "condition", "critical", "soft", "pending", "dwells_until_s",
    "dwell_left_s", "homes_until_s", "asked",
)  # fmt: skip
