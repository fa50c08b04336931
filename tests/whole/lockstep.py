"""A simulated bench in this process, and runners in processes of their own that speak with it in lock step.

The bench, its virtual clock and its ledger are here and outlive every runner. A runner waits for an answer after each
commit of a journal and at each exchange on a line, so it can be killed, with SIGKILL, at any of these points: after a
commit, before the bytes of an exchange have arrived, and after they have arrived and before the answer left. What the
devices were doing goes on; ``Bench.pass_time`` lets time go by while nobody runs.
"""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from campaigns import ROOT
from labloop.campaign.spec import read_lab
from labloop.runner.benches import simulation_plan
from labloop.simulation.bench import SimulatedBench
from labloop.simulation.clock import VirtualClock

LONGEST = 1 << 20


class Nursery:
    """The warm process that runners are forked from (see nursery.py). A context manager."""

    script = "nursery.py"

    def __enter__(self) -> "Nursery":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(self.script)), str(theirs.fileno())],
            cwd=ROOT, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        assert self._process.stderr is not None
        said = self._process.stderr.read()
        self._process.wait()
        self._process.stderr.close()
        assert "Traceback" not in said, said

    def begin(self, order: dict[str, Any], end: socket.socket) -> int:
        """Have a runner forked for an order; its pid."""
        socket.send_fds(self._control, [json.dumps(order).encode()], [end.fileno()])
        return int(self._heard()["pid"])

    def code(self) -> int:
        """The exit code of the runner that was begun last, when it is gone (below 0: the signal)."""
        return int(self._heard()["code"])

    def _heard(self) -> dict[str, Any]:
        heard = self._control.recv(LONGEST)
        if not heard:
            assert self._process.stderr is not None
            raise AssertionError(f"the nursery is gone: {self._process.stderr.read()}")
        told: dict[str, Any] = json.loads(heard)
        return told


@dataclass
class Bench:
    """The bench of a lab file. ``points``: what a runner has come past, since it began, in words."""

    bench: SimulatedBench
    clock: VirtualClock
    points: list[str] = field(default_factory=list)
    _struck: bool = False

    @classmethod
    def of(cls, lab: Path, *, seed: int = 0, faults: str | None = None) -> "Bench":
        clock = VirtualClock()
        return cls(SimulatedBench(simulation_plan(read_lab(lab), seed=seed, faults=faults), clock), clock)

    @property
    def ledger(self) -> list[Any]:
        """What the devices did to matter."""
        return list(self.bench.ledger.entries)

    def pass_time(self, seconds: float) -> None:
        """Let the devices go on while nobody runs."""
        self.clock.advance_to(self.clock.now_s() + seconds)
        self.bench.settle(self.clock.now_s())

    def run(
        self,
        nursery: Nursery,
        order: dict[str, Any],
        *,
        at: int | Callable[[str], bool] = 0,
        strike: Callable[[int], None] = lambda pid: os.kill(pid, signal.SIGKILL),
        meanwhile: Callable[[str], None] = lambda point: None,
    ) -> int:
        """Serve one runner to its end and give its exit code.

        ``at``: strike it at this point (1: the first), or at the first one of which this is true. ``meanwhile``: told
        of every point, and may do what it likes to the devices.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.points, self._struck = [], False
        try:
            pid = nursery.begin(order, theirs)
            theirs.close()

            def past(what: str) -> None:
                self.points.append(what)
                meanwhile(what)
                if self._struck or not (at(what) if callable(at) else len(self.points) == at):
                    return
                self._struck = True
                strike(pid)

            with suppress(BrokenPipeError, ConnectionResetError):  # it was killed, and our answer is not read
                while message := ours.recv(LONGEST):
                    ours.send(msgspec.msgpack.encode(self._answer(msgspec.msgpack.decode(message), past)))
        finally:
            ours.close()
        return nursery.code()

    def _answer(self, question: list[Any], past: Callable[[str], None]) -> Any:
        now_s, what, *more = question
        self.clock.advance_to(now_s)
        if what == "commit":
            past(f"commit {more[0]}: {' '.join(more[1])}")
        if what == "hello":
            return {"now_s": self.clock.now_s(), "lines": {port: line.kind for port, line in self.bench.lines.items()}}
        if what != "line":
            return None
        port, *said = more
        line = self.bench.lines[port]
        heard = said[-1]
        if heard:
            past(f"before {said[-1]!r}")
        answer = line.receive(*said, self.clock.now_s())
        if heard:
            past(f"after {said[-1]!r}")
        unplugged_s = line.unplugged_until_s
        return answer, line.due(self.clock.now_s()), unplugged_s if unplugged_s > 0 else None


# Three pumps on a line (one of them in safe mode), a hotplate and a spectrometer; six trials of five acts each, every
# policy for what is cut short among them. What a kill at any point leaves behind is told in test_kill_anywhere.
LAB = """
labloop: 1
name: sweep
root: {root}
instruments:
  pump_a: {{driver: "drivers.new_era:NE1000", simulator: "simulators.new_era:NE1000", port: "{line}", address: 0, syringe: {syringe}, stock: 10 mL}}
  pump_b: {{driver: "drivers.new_era:NE1000", simulator: "simulators.new_era:NE1000", port: "{line}", address: 1, syringe: {syringe}, stock: 10 mL}}
  pump_c: {{driver: "drivers.new_era:NE1000", simulator: "simulators.new_era:NE1000", port: "{line}", address: 2, syringe: {syringe}, stock: 10 mL, watchdog: 60 s}}
  hotplate: {{driver: "drivers.ika:RCT", simulator: "simulators.ika:RCT", port: "serial:///dev/plate?baud=9600&bytesize=7&parity=E"}}
  spectrometer: {{driver: "drivers.spectrometer:Spectrometer", simulator: "simulators.spectrometer:Spectrometer", port: "zmq+tcp://127.0.0.1:12300?actor=N1.spectrometer"}}
safe_state:
  - hotplate.off: {{}}
sample: {{response: mix.csv, inputs: [q_a, q_b, q_c, temperature], output: loss}}
"""  # noqa: E501
LIMITS = """
limits:
  hotplate: {temperature: {max: 60 degC}}
"""
CAMPAIGN = """
labloop: 1
campaign: thirty-acts
lab: lab.yaml
parameters:
  a: {{range: [100, 400], unit: uL/min}}
  b: {{range: [100, 300], unit: uL/min}}
  c: {{range: [10, 60], unit: uL}}
outcomes:
  loss: {{goal: minimize, from: spectrum, analysis: distance_to_target, target: {campaigns}/target_spectrum.csv}}
setup:
  - hotplate.heat: {{temperature: 24 degC}}
trial:
  - together:
      - pump_a.dispense: {{rate: $a, time: 10 s}}
      - pump_b.dispense: {{rate: $b, time: 10 s}}
  - pump_c.dispense: {{rate: 200 uL/min, volume: $c}}
    if_interrupted: remainder
    start_within: 20 s
  - hotplate.hold: {{temperature: 24 degC, tolerance: 2 K, time: 6 s, reach_by: 10 min}}
    if_interrupted: again
  - spectrometer.measure: {{integration: 100 ms, save_as: spectrum}}
    start_within: 5 min
cleanup:
  - spectrometer.rinse: {{}}
design: {{initial: {{method: sobol, trials: {sobol}}}, batch: {batch}, seed: 7}}
budget: {{trials: {trials}}}
"""


def written(
    folder: Path, *, trials: int = 6, sobol: int = 6, batch: int = 1, watched: bool = True, of_lab: str = ""
) -> tuple[Path, Path]:
    """The campaign and its lab, written into a folder.

    ``watched``: a limit stands on what the hotplate reads. ``of_lab``: more lines of the lab file.

    Its samples have no scatter and know nothing of heat: an outcome is what was mixed, and nothing else, so a sample
    that got less than it should shows in its outcome.
    """
    lab, campaign = folder / "lab.yaml", folder / "campaign.yaml"
    campaigns = ROOT / "campaigns"
    shares = itertools.product((10, 25, 40, 55, 70), (10, 25, 40, 55), (10, 30, 50, 70), (20, 45))
    rows = [
        f"{a},{b},{c},{t},{0.1 + ((a - 45) / 60) ** 2 + ((b - 30) / 60) ** 2 + ((c - 25) / 90) ** 2:.6f}"
        for a, b, c, t in shares
    ]
    (folder / "mix.csv").write_text("\n".join(["q_a,q_b,q_c,temperature,loss", *rows]) + "\n")
    fit = {"inputs": ["q_a", "q_b", "q_c", "temperature"], "output": "loss", "scales": [1.0, 1.0, 1.0, 1e6]}
    (folder / "mix.fit.json").write_text(json.dumps(fit | {"variance": 1.0, "nugget": 1e-6}))
    syringe = "{maker: BD, volume: 10 mL, diameter: 14.43 mm}"
    lab.write_text(
        LAB.format(root=ROOT, line="serial:///dev/pumps?baud=19200", syringe=syringe)
        + (LIMITS if watched else "")
        + of_lab
    )
    campaign.write_text(CAMPAIGN.format(campaigns=campaigns, trials=trials, sobol=sobol, batch=batch))
    return campaign, lab
