"""VICI universal actuator with a valve, simulated from the EUH/EUD/EUT manual, p. 14 to 19.

Line: 9600 8N1; commands end in CR, a line feed is passed over. Answers end in what DEL says: CR, LF, or both. With an
ID only what begins with it, or with a slash and it, is heard, and ``*`` is for all.

    AM [1|2|3]  NP [n]  CNT [n]  DT [ms]  IFM [0|1|2]  LG [0|1]  DEL [1|2|3]  SM [F|R|A]  ID [id]  ID*   show, or set
    CP  position   VR  firmware, five lines   /?  commands
    GO [place]  HM  CW [place]  CC [place]  TO  TT  LRN   turn the valve

CP tells the old place until the valve has turned. What acts is answered with IFM1 and IFM2 alone, once it is done: GO,
CW and CC with the command (as vicivalve expects), the others with the place. So are settings, at once. With LG1 it
speaks like a microelectric actuator: ``Position is  = 3``, ``NP = 10``. What it does not know or cannot do it calls a
bad command, as those do. Made up: what IFM2 adds (nothing), the firmware's text but for its end.

What stands behind it: a valve that takes 0.1 s, and 0.1 s for each position it passes. Options: ``prefix`` (its ID),
``valve`` (with letters it has two positions, else ten); of the simulation ``mode``, ``positions``, ``place``,
``switching`` (how long each turn takes).
"""

import re
from collections.abc import Mapping
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.world import World

LONGEST = 64
START_S, STEP_S, LEARN_S = 0.1, 0.1, 3.0
FIRMWARE = ("VICI", "EUHA", "Jan 1 2010", "simulated", "UA_MAIN_EQ")
ENDS = {1: b"\r", 2: b"\n", 3: b"\r\n"}
# The numbers that can be set, and from where to where.
NUMBERS = {"AM": (1, 3), "NP": (2, 40), "CNT": (0, 65535), "DT": (0, 65535), "IFM": (0, 2), "LG": (0, 1), "DEL": (1, 3)}
COMMAND = re.compile(r"(AM|NP|CNT|DT|IFM|LG|DEL|SM|ID|CP|VR|GO|HM|CW|CC|TO|TT|LRN)(\*|[0-9A-Z]*)")


class BadCommand(Exception):
    """It is not known, or cannot be done."""


class Actuator:
    """options: prefix, valve; of the simulation: mode, positions, place, switching."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.address = str(options.get("prefix", "")).removeprefix("/")
        places = list(options.get("valve", {"": 1}).values())
        lettered = "A" in places or "B" in places
        self.settings = {"AM": int(options.get("mode", 1 if lettered else 3)), "NP": int(options.get("positions", 10))}
        self.settings |= {"CNT": 0, "DT": 0, "IFM": 0, "LG": 0, "DEL": 1}
        self.way = "A"
        self.place = int(options.get("place", 1))
        self.switching_s = amount(options["switching"], "s") if "switching" in options else None
        # Where the valve goes to, and when it is there; afterwards, when and to where else.
        self.target: int | None = None
        self.there_s = 0.0
        self.then: tuple[float, int] | None = None
        self.said = ""
        self._line, self._out = bytearray(), bytearray()
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        for byte in data:
            if byte == 0x0D:
                self._take(self._line.decode("ascii", "replace"), now_s)
                self._line.clear()
            elif byte != 0x0A and len(self._line) < LONGEST:
                self._line.append(byte)
        out, self._out = bytes(self._out), bytearray()
        return out

    def _take(self, line: str, now_s: float) -> None:
        text = line.strip().upper()
        if self.address:
            heard = [one for one in (self.address, f"/{self.address}", "*") if text.startswith(one)]
            if not heard:
                return
            text = text.removeprefix(heard[0])
        if not text:
            return
        try:
            self._do(text, now_s)
        except BadCommand:
            self._say(f"{text} = Bad command")

    def _say(self, text: str) -> None:
        self._out += text.encode("ascii", "replace") + ENDS[self.settings["DEL"]]

    def _tell(self, name: str, value: object) -> None:
        if name == "CP" and self.settings["LG"]:
            self._say(f"Position is  = {value}")
        else:
            self._say(f"{name} = {value}" if self.settings["LG"] else f"{name}{value}")

    # -- commands ----------------------------------------------------------------------------------------------------
    def _do(self, text: str, now_s: float) -> None:
        if text in ("/?", "?"):
            self._say(COMMAND.pattern.split(")")[0].strip("(").replace("|", " "))
            return
        match = COMMAND.fullmatch(text)
        if match is None:
            raise BadCommand(text)
        name, given = match.groups()
        if name in ("CP", "VR") and not given:
            for line in FIRMWARE if name == "VR" else ():
                self._say(line)
            if name == "CP":
                self._tell("CP", self._called(self.place))
        elif name in NUMBERS or name in ("SM", "ID"):
            self._setting(name, given)
        else:
            self._act(name, given, now_s)

    def _setting(self, name: str, given: str) -> None:
        if not given:
            shown = {"SM": self.way, "ID": self.address or "not used"}
            self._tell(name, shown.get(name, self.settings.get(name)))
            return
        if name == "SM" and given in ("F", "R", "A"):
            self.way = given
        elif name == "ID" and len(given) == 1:
            self.address = "" if given == "*" else given
        elif name in NUMBERS and re.fullmatch(r"\d{1,5}", given):
            low, high = NUMBERS[name]
            value = int(given)
            if not low <= value <= high or (name == "NP" and value % 2):
                raise BadCommand(given)
            self.settings[name] = value
            if name in ("AM", "NP"):
                self.place = min(self.place, self._positions)
        else:
            raise BadCommand(given)
        if self.settings["IFM"]:
            self._say(f"{name}{given}")

    @property
    def _positions(self) -> int:
        return self.settings["NP"] if self.settings["AM"] == 3 else 2

    def _called(self, place: int) -> str:
        """CPnn, and CPA: two digits without LG1, a plain number with it."""
        if self.settings["AM"] != 3:
            return "AB"[place - 1]
        return str(place) if self.settings["LG"] else f"{place:02d}"

    def _act(self, name: str, given: str, now_s: float) -> None:
        goal = self._goal(name, given)
        if self.target is not None or self.then is not None:
            raise BadCommand(name)
        if name == "TT":
            if not self.settings["DT"]:
                return
            self.then = (self.settings["DT"] / 1000.0, self.place)
        if goal == self.place and name != "LRN":
            if self.settings["LG"]:
                raise BadCommand(name)
            return
        self.said = f"{name}{given}" if name in ("GO", "CW", "CC") else "CP"
        self._turn(goal, {"CW": "F", "CC": "R"}.get(name, self.way), now_s)
        if name == "LRN":
            self.there_s = now_s + LEARN_S

    def _goal(self, name: str, given: str) -> int:
        """Where a command sends the valve. Raises BadCommand."""
        multi, last = self.settings["AM"] == 3, self._positions
        up, down = self.place % last + 1, (self.place - 2) % last + 1
        if given and multi and name in ("GO", "CW", "CC") and re.fullmatch(r"\d{1,2}", given):
            goals = {name: int(given)}
        elif given:
            goals = {"GO": "AB".index(given) + 1} if not multi and given in ("A", "B") else {}
        elif multi:
            goals = {"GO": down if self.way == "R" else up, "CW": up, "CC": down, "HM": 1}
        else:
            goals = {"GO": up, "TO": up, "TT": up, "CW": 1, "CC": 2} | ({"LRN": 1} if self.settings["AM"] == 1 else {})
        if not 1 <= goals.get(name, 0) <= last:
            raise BadCommand(name)
        return goals[name]

    def _turn(self, goal: int, way: str, now_s: float) -> None:
        up, down = (goal - self.place) % self._positions, (self.place - goal) % self._positions
        steps = {"F": up, "R": down}.get(way, min(up, down))
        self.settings["CNT"] = (self.settings["CNT"] + steps) % 65536
        self.target = goal
        self.there_s = now_s + (START_S + STEP_S * steps if self.switching_s is None else self.switching_s)
        self.world.ledger.begin(now_s, self.name, "turn", float(self.place), "")

    # -- time --------------------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        return self.there_s if self.target is not None or self.then is not None else None

    def advance(self, now_s: float) -> None:
        while (self.target is not None or self.then is not None) and self.there_s <= now_s:
            at_s = self.there_s
            if self.target is None and self.then is not None:
                back, self.then = self.then[1], None
                self._turn(back, self.way, at_s)
                continue
            self._rest(at_s, self.target or self.place)
            if self.then is not None:
                self.there_s = at_s + self.then[0]
            elif self.settings["IFM"]:
                self._answer()

    def _answer(self) -> None:
        if self.said == "CP":
            self._tell("CP", self._called(self.place))
        else:
            self._say(self.said)

    def _rest(self, now_s: float, place: int) -> None:
        self.place, self.target = min(place, self._positions), None
        self.world.ledger.end(now_s, self.name, "turn", float(place), "")

    # -- by hand, and state ------------------------------------------------------------------------------------------
    def stall(self, now_s: float) -> None:
        """The valve is blocked on its way: it stays where it was, and says nothing of it."""
        self.world.settle(now_s)
        if self.target is not None:
            self._rest(now_s, self.place)
            self.then = None

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: a turn ends where it began; settings are kept."""
        self.stall(now_s)
        self.then = None
        self._line.clear()

    def state(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in _KEPT} | {"then": list(self.then) if self.then else None}

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.then = (float(state["then"][0]), int(state["then"][1])) if state["then"] else None


_KEPT = ("address", "settings", "way", "place", "target", "there_s", "said")
