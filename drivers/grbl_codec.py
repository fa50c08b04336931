"""The wire of GRBL 1.1: lines that are answered ok or error, bytes that act at once, and reports that come between.

Source: gnea/grbl, doc/markdown/interface.md and commands.md, doc/csv; drivers/grbl.py has what it means for a driver.

A line is answered once and in order; reports, messages and alarms are never counted with those answers. Three lines
have something of their own in their answer ($$, $G, $I); it must have come before their ok is theirs, so an ok that
was owed to an earlier line is passed over.

$H is answered when it has homed, and nothing else is until then: a report that was asked for meanwhile comes at the
end, with the state Home. A line that is not $H any more (damage) is answered at once, and so is ``?`` then. So:

    TOLD    $H was said                   no answer to ?        -> SILENT
    SILENT  it homes, or the line is bad  its ok                -> HOMED
    any     a report with the state Home                        -> HOMED
    any     an alarm, a banner, a reset                         -> NOT

HOMED means that $H was taken: when it stands Idle then, it is where its switches are.
"""

import re
from dataclasses import dataclass

from labloop.bench import LineCodec, ProtocolError, shown

STATUS, RESET, CANCEL = "?", "\x18", "\x85"
# Say nothing, and take what it says of its own accord.
LISTEN = ""
HOME = "$H"
NOT, TOLD, SILENT, HOMED = "not", "told", "silent", "homed"
# What the answer to a line has before its ok; other lines have nothing that could tell them apart.
OWN = {"$$": "$", "$G": "[GC:", "$I": "[VER:"}

STATES = ("Idle", "Run", "Hold", "Jog", "Alarm", "Door", "Check", "Home", "Sleep")
COORDINATE = r"-?\d+\.\d{3}"
REPORT = re.compile(
    rf"<(?P<state>{'|'.join(STATES)})(?::(?P<sub>\d))?\|(?P<kind>[MW])Pos:(?P<where>{COORDINATE}(?:,{COORDINATE}){{2,3}})"
    rf"(?P<rest>(?:\|[A-Z][A-Za-z]*:[^|<>]*)*)>"
)
SPEED = re.compile(r"\|FS?:(\d+)(?:,(\d+))?(?=\||$)")
ANSWER = re.compile(r"ok|error:(\d{1,3})")
ALARM = re.compile(r"ALARM:(\d{1,2})")
BANNER = re.compile(r"Grbl (\d\.\d[a-z]?) \[.*\]")
# Settings, messages, tables, startup lines that ran, echoes.
MESSAGE = re.compile(r"\$\w+=.*|\[[A-Za-z0-9]+:.*\]|>.*:(?:ok|error:\d+)|\[.*\]")
SETTING = re.compile(r"\$(\d+)=(-?\d+(?:\.\d+)?)(?: .*)?")
FEED = re.compile(r"\[GC:.* F(\d+)(?:\.\d+)?(?: .*)?\]")

ERRORS = {
    1: "a word without its letter", 2: "a number that it cannot read", 3: "a command that it does not know",
    4: "a value below 0", 5: "homing is not enabled ($22)", 8: "it is not idle", 9: "locked by an alarm, or jogging",
    11: "the line is too long", 13: "its door is open", 15: "the target is outside its travel",
    16: "a jog with a word that jogs do not have", 20: "a command that it does not support", 22: "no feed",
}  # fmt: skip
ALARMS = {
    1: ("limit", "a limit switch closed; where it stands is lost"),
    2: ("limit", "the target was outside its travel (soft limit)"),
    3: ("reset", "it was reset in motion; where it stands is lost"),
    6: ("reset", "homing was reset"),
    7: ("door", "its door was opened while it homed"),
    8: ("limit", "homing could not clear the limit switch"),
    9: ("limit", "homing found no limit switch"),
    10: ("limit", "homing found no second limit switch"),
}


@dataclass(frozen=True, slots=True)
class Command:
    """``text``: one line (``$J=...``, ``$G``), several that are sent at once, a byte that acts at once, or LISTEN.

    ``answered`` False: its ok comes later and is not waited for.
    """

    text: str
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """What ``?`` is answered with; positions in mm, ``feed`` in mm/min, ``speed`` in rpm as commanded."""

    state: str
    sub: int
    machine: bool
    where: tuple[float, ...]
    feed: float
    speed: float
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a line is answered with: ``lines`` before its ok; or an ``error``, an ``alarm`` or a ``banner`` instead."""

    lines: tuple[str, ...] = ()
    error: int = 0
    alarm: int = 0
    banner: str = ""


class GrblCodec(LineCodec):
    """``alarm``: the last one that was heard, also unasked (0: none). ``homing``: what is known of the last $H;
    ``refused``: the error that it was answered with (0: none)."""

    def __init__(self) -> None:
        super().__init__(b"\n", longest=1024)
        self._asked = Command(STATUS)
        self._lines: list[str] = []
        self.alarm = self.refused = 0
        self.homing = NOT

    def encode(self, command: Command) -> list[bytes]:
        self._asked, self._lines = command, []
        if command.text in (HOME, RESET):
            self.homing, self.refused = TOLD if command.text == HOME else NOT, 0
        if command.text == LISTEN:
            return []
        if command.text in (STATUS, RESET, CANCEL):
            return [command.text.encode("latin-1")]
        return [command.text.encode("ascii") + b"\n"]

    def expects_reply(self, command: Command) -> bool:
        return command.answered and command.text != CANCEL

    def listens(self, command: Command) -> bool:
        return command.text == LISTEN

    def urgent(self, command: Command) -> bool:
        return command.text in (RESET, CANCEL)

    def probe(self, command: Command) -> Command | None:
        """After a line or a reset, $G: its answer comes in order, after all that is owed.

        Reports have nothing that could be mistaken, and lines that are sent at once may hold $G back for long.
        """
        if command.text in (STATUS, CANCEL) or "\n" in command.text:
            return None
        return Command("$I") if command.text == "$G" else Command("$G")

    def reset(self) -> None:
        super().reset()
        self._lines = []

    def reply(self, line: bytes) -> Report | Reply | None:
        """The report, or what the line is answered with. Raises ProtocolError for what GRBL never says."""
        text = line.decode("ascii", "replace").rstrip("\r")
        asks = self._asked.text
        if not text:
            return None
        if text.startswith("<"):
            report = _report(text, line)
            if report.state == "Home":
                self.homing = HOMED
            return report if asks == STATUS else None
        if banner := BANNER.fullmatch(text):
            self.homing = NOT
            return Reply(banner=banner[1]) if asks != STATUS and asks not in OWN else None
        if alarm := ALARM.fullmatch(text):
            self.alarm, self.homing = int(alarm[1]), NOT
            return Reply(alarm=self.alarm) if asks not in (STATUS, RESET) else None
        if answer := ANSWER.fullmatch(text):
            return self._answered(int(answer[1] or 0))
        if not MESSAGE.fullmatch(text):
            raise ProtocolError(f"{shown(line)} is nothing that GRBL says")
        self._lines.append(text)
        return None

    def _answered(self, error: int) -> Reply | None:
        if self.homing == SILENT and not error and self._asked.text in (STATUS, LISTEN):
            self.homing = HOMED
        if self.homing == TOLD and self._asked.text in (STATUS, LISTEN):
            self.refused = error
        if self._asked.text in (STATUS, RESET):
            return None
        own = OWN.get(self._asked.text)
        lines = tuple(self._lines)
        if own and not error and not any(text.startswith(own) for text in lines):
            self._lines = []
            return None  # the ok of an earlier line
        return Reply(lines=lines, error=error)


def _report(text: str, line: bytes) -> Report:
    match = REPORT.fullmatch(text)
    if match is None:
        raise ProtocolError(f"{shown(line)} is no report")
    speeds = SPEED.search(match["rest"])
    return Report(
        state=match["state"],
        sub=int(match["sub"] or 0),
        machine=match["kind"] == "M",
        where=tuple(float(value) for value in match["where"].split(",")),
        feed=float(speeds[1]) if speeds else 0.0,
        speed=float(speeds[2] or 0) if speeds else 0.0,
        text=text,
    )


def settings_of(reply: Reply) -> dict[int, float]:
    """What ``$$`` says, by number."""
    found = (SETTING.fullmatch(text) for text in reply.lines)
    return {int(match[1]): float(match[2]) for match in found if match}


def feed_of(reply: Reply) -> int:
    """The feed that stands, from ``$G``. Raises ProtocolError."""
    for text in reply.lines:
        if match := FEED.fullmatch(text):
            return int(match[1])
    raise ProtocolError(f"$G was answered without a feed: {reply.lines!r}")
