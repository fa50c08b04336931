"""How long the dashboard takes: ``python tests/dashboard/opening.py FOLDER [TRIALS]``, on Linux.

FOLDER gets a run of so many trials with all their steps (20 facts each), made once. The dashboard is opened on a
pseudo-terminal of 120 x 40, and while another process appends 50 facts a second, keys are pressed. Printed are seconds
of the dashboard's processor time, and on the wall the time until it first answers.
"""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from labloop.campaign import events as e  # noqa: E402
from labloop.journal import Journal  # noqa: E402
from tests.dashboard.journals import finished  # noqa: E402

KEYS = (("down", "\x1b[B"), ("page down", "\x1b[6~"), ("2", "2"), ("3", "3"), ("4", "4"), ("5", "5"), ("1", "1"))
ENDED = re.compile(r"finished: budget|note \d+")


class Watched:
    """One dashboard on a pseudo-terminal."""

    def __init__(self, run: Path) -> None:
        self.began_s = time.monotonic()
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            os.environ |= {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed labloop is compiled once
            os.execv(sys.executable, [sys.executable, "-P", "-m", "labloop", "watch", str(run)])
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def drawn(self, within_s: float) -> str:
        """What it drew until now, or after waiting for something; without what moves the cursor."""
        if not select.select([self.terminal], [], [], within_s)[0]:
            return ""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(self.terminal, 1 << 20).decode(errors="replace"))

    def press(self, key: str) -> tuple[float, float]:
        """The wall's time until it draws, and the processor's of the second after the key."""
        before_s, now_s = self.cpu_s(), time.monotonic()
        os.write(self.terminal, key.encode())
        answered_s = 0.0
        while time.monotonic() < now_s + 1.0:
            if self.drawn(0.01) and not answered_s:
                answered_s = time.monotonic() - now_s
        return answered_s, self.cpu_s() - before_s


def append(run: Path) -> None:
    """50 facts a second, until killed."""
    with Journal.open(run / "journal.db") as journal:
        journal.append(e.RunStarted(resumed=True))
        began_s = time.monotonic()
        for number in range(1, 1 << 30):
            journal.append(e.NoteTaken(text=f"note {number}", by="ann"))
            time.sleep(max(began_s + number / 50 - time.monotonic(), 0.0))


def main(run: Path, trials: int) -> None:
    say = sys.stdout.write
    if not run.exists():
        finished(run, trials).close()
    watched, text, first = Watched(run), "", True
    while not ENDED.search(text):
        text = (text + watched.drawn(1.0))[-20_000:]
        if first and ("reading" in text or "SIMULATED" in text):
            say(f"first frame: {watched.cpu_s():.2f} s, {time.monotonic() - watched.began_s:.2f} s on the wall\n")
            first = False
    say(f"open: {watched.cpu_s():.2f} s, {time.monotonic() - watched.began_s:.2f} s on the wall\n")
    writer = subprocess.Popen([sys.executable, __file__, "--append", str(run)], stdout=subprocess.PIPE)
    while not re.search(r"note \d+", watched.drawn(1.0)):
        pass
    _, following_s = watched.press("")
    say(f"following 50 facts a second: {following_s:.2f} s a second\n")
    for name, key in KEYS:
        answered_s, cost_s = watched.press(key)
        say(f"{name}: {max(cost_s - following_s, 0.0):.2f} s, answered after {answered_s:.3f} s on the wall\n")
    writer.kill()
    writer.communicate()
    os.write(watched.terminal, b"q")
    watched.drawn(1.0)


if __name__ == "__main__":
    if sys.argv[1] == "--append":
        append(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)
