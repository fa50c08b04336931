"""Ten dashboards on one run, quit by every key and killed: facts, and every byte on the lines, are as with none."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from reach import ROOT, Reach

from labloop.journal import inbox

CAMPAIGN = """
    trial:
      - pump_a.dispense: {rate: $q, time: 30 s}
      - hotplate.hold: {temperature: 30 degC, tolerance: 1 K, time: 60 s, reach_by: 30 min}
      - pump_b.dispense: {rate: 200 uL/min, time: 10 s}
    budget: {trials: 5}
"""
PATIENCE_S = 120.0
# What each does once it shows the run: screens, dialogs, its own end. "" is killed in the middle of the run.
DOES = ("2", "36", "45", "q", "\x11", "2q", "?", "", "", "")


class Onlookers:
    """Dashboards on pseudo-terminals. Their output is read by one thread, so that none of them waits for a reader."""

    def __init__(self, run: Path) -> None:
        self.drawn: dict[int, bytes] = {}
        self.all: list[tuple[subprocess.Popen[bytes], int]] = []
        self._more = threading.Condition()
        for _ in DOES:
            ours, theirs = pty.openpty()
            fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            one = subprocess.Popen(
                [sys.executable, "-P", "-m", "labloop", "watch", str(run)],
                stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
            )  # fmt: skip
            os.close(theirs)
            self.drawn[ours] = b""
            self.all.append((one, ours))
        threading.Thread(target=self._read, args=(list(self.drawn),), daemon=True).start()

    def _read(self, terminals: list[int]) -> None:
        while terminals:
            for one in select.select(terminals, [], [])[0]:
                try:
                    data = os.read(one, 1 << 16)
                except OSError:  # nobody holds its other end any more
                    data = b""
                if not data:
                    terminals.remove(one)
                with self._more:
                    self.drawn[one] += data
                    self._more.notify_all()

    def show_the_run(self) -> None:
        """Wait until each has drawn it."""
        with self._more:
            assert self._more.wait_for(lambda: all(b"RUNNING" in data for data in self.drawn.values()), PATIENCE_S)

    def act(self) -> None:
        for keys, (one, terminal) in zip(DOES, self.all, strict=True):
            if keys:
                os.write(terminal, keys.encode())
            else:
                one.kill()
        for keys, (one, _) in zip(DOES, self.all, strict=True):
            if not keys or keys[-1] in "q\x11":
                assert (one.wait(PATIENCE_S) == 0) == bool(keys)

    def end(self) -> None:
        for one, _ in self.all:
            one.kill()
            one.wait()


@contextmanager
def looked_at(folder: Path) -> Iterator[Reach]:
    """A run that ten look at from its first act on, until two minutes later some go."""
    found: list[Onlookers] = []
    left: list[Onlookers] = []

    def meddle(bench: object, now_s: float) -> None:
        if now_s > 5.0 and not found:
            found.append(Onlookers(folder / "run"))
            found[0].show_the_run()
        if now_s > 125.0 and not left:
            left.append(found[0])
            found[0].act()

    try:
        yield Reach(folder, "", CAMPAIGN, meddle)
        assert left, "they were there, and some went before its end"
    finally:
        for one in found:
            one.end()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_a_run_does_not_notice_who_looks_at_it(tmp_path: Path) -> None:
    for name in ("alone", "seen"):
        (tmp_path / name).mkdir()
    alone = Reach(tmp_path / "alone", "", CAMPAIGN)
    code = alone.run()
    with looked_at(tmp_path / "seen") as seen:
        assert seen.run() == code
        assert [record.event for record in seen.records()][1:] == [record.event for record in alone.records()][1:]
        assert seen.sent == alone.sent
        assert seen.bench.ledger.entries == alone.bench.ledger.entries
        assert inbox.take(tmp_path / "seen" / "run" / "requests") == ([], [])
