"""A live bench in processes of its own: served simulators, taps on their lines, and runners that can be killed.

A tap stands between the runner and one serial line. It keeps every byte with the moment it passed, and can be deafened:
then the instrument hears everything and its answers are lost, as with a broken wire.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import serial
from ruamel.yaml import YAML

from labloop.campaign import state as s
from labloop.campaign.events import Record
from labloop.journal import Reader, StoreError, locks
from tests.patience import ANSWERED_S, PATIENT, patient_lab

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGNS = ROOT / "campaigns"
WITHIN_S = 120.0
NOBODY_KNOWS = "nobody knows whether it was switched off since"


def wait_for(what: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
    """What it gives, once that is true."""
    until_s = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < until_s, f"{what} did not come within {within_s:g} s"
        time.sleep(0.005)
    return found


@dataclass
class Tap:
    """One line. ``sent``: what the host said, as (monotonic seconds, bytes)."""

    name: str
    device: serial.Serial
    master: int
    slave: int
    link: Path
    sent: list[tuple[float, bytes]] = field(default_factory=list)
    deaf: bool = False
    passing: threading.Lock = field(default_factory=threading.Lock)

    def pass_on(self, ready: list[Any]) -> None:
        if self.master in ready:
            with self.passing:
                data = os.read(self.master, 4096)
                self.sent.append((time.monotonic(), data))
            self.device.write(data)
        if self.device.fileno() in ready:
            data = self.device.read(self.device.in_waiting or 1)
            if data and not self.deaf:
                os.write(self.master, data)

    def heard(self, word: bytes, since_s: float) -> float | None:
        """When the host first said ``word`` after a moment; None: not yet."""
        whole = b""
        for at_s, data in list(self.sent):
            if at_s >= since_s:
                whole += data
                if word in whole:
                    return at_s
        return None

    def bytes_since(self, since_s: float) -> bytes:
        return b"".join(data for at_s, data in list(self.sent) if at_s > since_s)


class Taps:
    """Taps on every serial line of a served lab; ``lab`` is the lab file that leads through them."""

    def __init__(self, served: Path, folder: Path) -> None:
        yaml = YAML()
        text = yaml.load(served.read_text())
        self.lines: dict[str, Tap] = {}
        for name, instrument in text["instruments"].items():
            parts = urlsplit(str(instrument["port"]))
            if parts.scheme != "serial":
                continue
            if parts.path not in self.lines:
                self.lines[parts.path] = self._tap(name, parts, folder)
            instrument["port"] = f"serial://{self.lines[parts.path].link}?{parts.query}"
        self.lab = folder / "tapped.yaml"
        with self.lab.open("w") as out:
            yaml.dump(text, out)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __getitem__(self, name: str) -> Tap:
        return next(tap for tap in self.lines.values() if tap.name == name)

    def _tap(self, name: str, parts: Any, folder: Path) -> Tap:
        baud = int(dict(pair.split("=") for pair in parts.query.split("&"))["baud"])
        device = serial.Serial(parts.path, baud, timeout=0)
        master, slave = os.openpty()
        tty.setraw(master)
        tty.setraw(slave)
        link = folder / f"line-{name}"
        link.symlink_to(os.ttyname(slave))
        return Tap(name, device, master, slave, link)

    def _run(self) -> None:
        taps = list(self.lines.values())
        ends = [end for tap in taps for end in (tap.master, tap.device.fileno())]
        while not self._stopped:
            ready, _, _ = select.select(ends, [], [], 0.05)
            for tap in taps:
                tap.pass_on(ready)

    def drained(self) -> bool:
        """Whether everything that was said up to now is among what was sent."""
        for tap in self.lines.values():
            with tap.passing:
                if select.select([tap.master], [], [], 0.0)[0]:
                    return False
        return True

    def close(self) -> None:
        self._stopped = True
        self._thread.join()
        for tap in self.lines.values():
            tap.device.close()
            os.close(tap.master)
            os.close(tap.slave)


@dataclass
class Rig:
    """A served lab, the folder it stands in, and what was started on it."""

    folder: Path
    lab: Path
    server: subprocess.Popen[bytes]
    taps: Taps | None = None
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def labloop(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Call a verb to its end."""
        return subprocess.run(
            command(*arguments), capture_output=True, text=True, check=False, timeout=ANSWERED_S, cwd=self.folder,
            env=alone(self.folder),
        )  # fmt: skip

    def to_its_end(self, runner: "subprocess.Popen[str]", alone: bool) -> None:
        """Wait until it has finished. alone: runner and guard were killed together in some act.

        Then nobody knows what a pump was told meanwhile whose counters stand at 0 as before: a true question, answered.
        """
        said, _ = runner.communicate(timeout=300)
        while alone and runner.returncode == 6 and NOBODY_KNOWS in said:
            while asked := s.fold(self.records()).questions:
                act = next(iter(asked.values())).begun
                answer = self.labloop(
                    "request", "r", "resolve", f"{act.trial}.{act.instrument}", "discard", "--by", "a test"
                )
                assert answer.returncode == 0, answer.stderr
            runner = self.start("resume", "r", "--no-dashboard")
            said, _ = runner.communicate(timeout=300)
        assert runner.returncode == 0, said

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a verb and leave it."""
        process = subprocess.Popen(
            command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder,
            env=alone(self.folder),
        )  # fmt: skip
        self.started.append(process)
        return process

    def kill(self, pid: int) -> None:
        """End a process that belongs to what was started here, and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: locks.process_started(pid) is None)

    def run(self, campaign: Path, name: str = "r", *more: object) -> subprocess.Popen[str]:
        """Start a live run of ``campaign``."""
        return self.start("run", campaign, "--lab", self.lab, "--live", "--yes", "--run", name, "--no-dashboard", *more)

    def records(self, name: str = "r") -> list[Record]:
        """Every fact of a run so far."""
        try:
            with Reader(self.folder / name / "journal.db") as reader:
                return list(reader.records())
        except StoreError:  # it is just being begun
            return []

    def bench_records(self) -> list[Record]:
        """Every fact of the bench."""
        with Reader(self.lab.parent / "bench.db") as reader:
            return list(reader.records())

    def facts(self, kind: type, name: str = "r") -> list[Any]:
        """The facts of one kind in a run."""
        return [record.event for record in self.records(name) if isinstance(record.event, kind)]

    def ledger(self) -> list[dict[str, Any]]:
        """What the devices did."""
        return [json.loads(line) for line in (self.folder / "ledger.jsonl").read_text().splitlines()]

    def status(self, name: str = "r") -> dict[str, Any]:
        """``labloop status --json``."""
        said = self.labloop("status", name, "--json")
        assert said.returncode == 0, said.stderr
        document: dict[str, Any] = json.loads(said.stdout)
        return document


def command(*arguments: object) -> list[str]:
    """The command line of a verb; what is asked of a runner is waited for."""
    how = PATIENT if arguments[0] == "request" else (sys.executable, "-P", "-m", "labloop")
    return [*how, *map(str, arguments)]


def alone(folder: Path) -> dict[str, str]:
    """Where no `labloop abort` for every run of this machine reaches these runs, nor theirs any other."""
    return os.environ | {"XDG_STATE_HOME": str(folder / "state")}


@contextmanager
def served(folder: Path, lab: Path, speed: float, *, tapped: bool = False) -> Iterator[Rig]:
    """A lab served on real ports; what was started on it ends with it."""
    out = folder / "served.yaml"
    server = subprocess.Popen(
        command("simulate", lab, "--addresses", out, "--ledger", folder / "ledger.jsonl", "--speed", speed),
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    rig = Rig(folder, out, server)
    try:
        wait_for(lambda: out.exists() or server.poll() is not None)
        assert server.poll() is None
        patient_lab(out)
        if tapped:
            rig.taps = Taps(out, folder)
            rig.lab = rig.taps.lab
        yield rig
    finally:
        for process in rig.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.communicate()
        if rig.taps is not None:
            rig.taps.close()
        server.terminate()
        server.wait(WITHIN_S)
