"""pygrbl-streamer, which we did not write, drives the simulated GRBL controller over a pty."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pygrbl_streamer import GrblStreamer

PORT = "serial:///dev/stage?baud=115200"


class Patient(queue.Queue[str]):
    """A busy computer may answer later than the streamer waits for."""

    def get(self, block: bool = True, timeout: float | None = None) -> str:
        return super().get(block, timeout and 20.0 * timeout)


class Streamer(GrblStreamer):
    """Keeps what it heard."""

    def __init__(self, port: str) -> None:
        super().__init__(port)
        self._ack_queue = Patient()
        self.heard: list[str] = []
        self.more = threading.Condition()
        self.alarms: list[str] = []
        self.alarmed = threading.Event()

    def receive_callback(self, data: str) -> None:
        with self.more:
            self.heard.append(data)
            self.more.notify_all()

    def hears(self, line: str) -> bool:
        """Whether ``line`` was heard; what answers a command may be told to its caller first."""
        with self.more:
            return self.more.wait_for(lambda: line in self.heard, 60.0)

    def alarm_callback(self, line: str) -> None:
        self.alarms.append(line)
        self.alarmed.set()


@pytest.fixture
def streamer(serve_plan: Callable[..., Any]) -> Iterator[Streamer]:
    options = {"travel": {"x": ["-200 mm", "0 mm"]}}
    stage = {"simulator": "simulators.grbl:Grbl", "port": PORT, "options": options}
    made = Streamer(serve_plan({"instruments": {"stage": stage}}, speed=20).device("stage"))
    made.connect(status_timeout=60.0)
    yield made
    made.disconnect()


def test_it_homes_streams_a_program_in_character_counting_and_sees_the_end(streamer: Streamer) -> None:
    assert streamer.home()
    program = ["G21", "G90", "G53 G0 X-50 Y-50", "G91"]
    program += [f"G1 X{1 if n % 2 else -1} Y0.5 F1500 (a comment that fills the buffer)" for n in range(60)]
    program += ["M3 S1000", "G4 P0.5", "M5", "$G"]
    errors: list[str] = []
    streamer.error_callback = errors.append
    assert streamer.stream(program, completion_timeout=300.0, ack_timeout=60.0)
    assert errors == [] and streamer.alarms == []
    streamer.sync()
    assert any(line.startswith("[GC:G1 G54 G17 G21 G91 G94 M5 M9 T0 F1500") for line in streamer.heard)
    assert streamer.last_status["state"] == "Idle"
    assert streamer.last_status["raw"].startswith("<Idle|MPos:-50.000,-20.000,-1.000|")


def test_it_is_told_of_errors_and_of_a_reset_in_motion(streamer: Streamer) -> None:
    assert streamer.command("G21") and not streamer.command("G5 X1")
    assert streamer.hears("error:20")
    assert streamer.command("$J=G53 X-150 F10")
    streamer.realtime(b"\x18")
    assert streamer.alarmed.wait(60.0) and streamer.alarms == ["ALARM:3"]
    assert not streamer.command("G21")
    assert streamer.hears("error:9") and streamer.unlock()
    assert streamer.command("G21")
