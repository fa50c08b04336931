"""What passed on the lines, as a file beside the journal."""

import json
from pathlib import Path
from typing import Any

import pytest

from labloop.bench import Port
from labloop.bench.link import Traffic
from labloop.runner.wire_log import LAST, WireLog


class Line:
    """A link that passes what a test says."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.traffic: list[Traffic] = []

    def say(self, at_s: float, kind: str, data: Any) -> None:
        self.traffic.append(Traffic(at_s=at_s, kind=kind, data=data))


class Lab:
    """Two pumps on one line, and a camera."""

    def __init__(self) -> None:
        self.pumps, self.camera = Line("serial:///dev/pumps"), Line("zmq+tcp://127.0.0.1:1")
        shared, own = Port(self.pumps, inline=True), Port(self.camera, inline=True)  # type: ignore[arg-type]
        stations = {"a": shared, "b": shared, "camera": own}
        self.instruments = {name: type("Station", (), {"port": port}) for name, port in stations.items()}


@pytest.fixture
def lab() -> Lab:
    return Lab()


def told(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["lines"]
    return found


def test_it_says_what_passed_on_each_line_and_whose_it_is(lab: Lab, tmp_path: Path) -> None:
    lab.pumps.say(1.0, "sent", b"0RUN\r")
    lab.pumps.say(1.25, "received", b"\x0200I\x03")
    lab.camera.say(2.0, "received", [b"LECO", b"", b"x" * 600])
    wire = WireLog(tmp_path / "wire.json", lab)  # type: ignore[arg-type]
    wire.write()
    lines = told(tmp_path / "wire.json")
    assert lines["serial:///dev/pumps"] == {
        "instruments": ["a", "b"],
        "passed": [
            {"at_s": 1.0, "kind": "sent", "frames": ["3052554e0d"], "more": 0},
            {"at_s": 1.25, "kind": "received", "frames": ["0230304903"], "more": 0},
        ],
    }
    (frames,) = [one["frames"] for one in lines["zmq+tcp://127.0.0.1:1"]["passed"]]
    assert frames[:2] == ["4c45434f", ""] and len(frames[2]) == 2 * 512
    assert lines["zmq+tcp://127.0.0.1:1"]["passed"][0]["more"] == 88


def test_it_keeps_the_last_and_is_written_when_something_passed_and_not_more_often(lab: Lab, tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "wire.json"
    wire = WireLog(path, lab, lambda: now[0])  # type: ignore[arg-type]
    for number in range(LAST + 5):
        lab.pumps.say(float(number), "sent", bytes([number]))
    wire.look()
    passed = told(path)["serial:///dev/pumps"]["passed"]
    assert [one["at_s"] for one in passed] == [float(number) for number in range(5, LAST + 5)]
    path.unlink()
    now[0] = 5.0
    wire.look()
    assert not path.exists(), "nothing has passed since"
    lab.camera.say(9.0, "dropped", [b"?"])
    now[0] = 5.5
    wire.look()
    assert not path.exists(), "it is not a second since"
    now[0] = 6.1
    wire.look()
    assert told(path)["zmq+tcp://127.0.0.1:1"]["passed"][-1]["kind"] == "dropped"


def test_where_it_cannot_be_written_the_run_goes_on_and_the_log_says_so_once(
    lab: Lab, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lab.pumps.say(1.0, "sent", b"x")
    wire = WireLog(tmp_path / "gone" / "wire.json", lab)  # type: ignore[arg-type]
    wire.write()
    wire.write()
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("what passes on the lines is not shown: ")
    (tmp_path / "gone").mkdir()
    wire.write()
    assert (tmp_path / "gone" / "wire.json").exists()
