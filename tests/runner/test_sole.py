"""One controller a device, though two lab files name it."""

import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labloop.bench import discovery
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.spec import read_lab
from labloop.cli.app import app
from labloop.journal import StoreLocked
from labloop.runner.by_hand import taken
from labloop.runner.sole import alone, sole

HOUSE = Path(__file__).resolve().parents[2]


def lab(folder: Path, *ports: str) -> LabSpec:
    folder.mkdir()
    lines = [f'  i{at}: {{driver: "drivers.leco:Actor", port: "{port}"}}\n' for at, port in enumerate(ports)]
    (folder / "lab.yaml").write_text(f"labloop: 1\nroot: {HOUSE}\ninstruments:\n{''.join(lines)}")
    return read_lab(folder / "lab.yaml")


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("tcp://Box:4001", "rfc2217://box:4001?baud=9600", False),
        ("tcp://127.0.0.1:4001", "tcp://localhost:4001", False),
        ("tcp://box:4001", "tcp://box:4002", True),
        ("zmq+tcp://127.0.0.1:12300?actor=N1.pump", "zmq+tcp://localhost:12300?actor=N1.pump", False),
        ("zmq+tcp://127.0.0.1:12300?actor=N1.pump", "zmq+tcp://127.0.0.1:12300?actor=N1.valve", True),
        ("serial:///dev/null?baud=9600", "serial:///proc/self/root/dev/null", False),
        ("serial://COM3", "serial://COM4", True),
        ("sim:", "sim:", True),
    ],
)
def test_a_device_has_one_controller_by_its_address(tmp_path: Path, one: str, other: str, apart: bool) -> None:
    first, second = lab(tmp_path / "a", one), lab(tmp_path / "b", "tcp://elsewhere:1", other)
    with sole(first):
        if apart:
            with sole(second):
                return
        said = rf"i1: .* is in use for another lab file, in {first.folder} "
        with pytest.raises(StoreLocked, match=said), sole(second):
            pass
    with sole(second):
        pass


def test_an_adapter_that_is_plugged_in_anew_is_the_same_and_its_old_name_anothers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "BY_ID", tmp_path / "by-id")
    (tmp_path / "by-id").mkdir()
    pump, plate = tmp_path / "by-id" / "pump", tmp_path / "by-id" / "plate"
    pump.symlink_to(tmp_path / "ttyUSB0")
    with sole(lab(tmp_path / "a", f"serial://{pump}")):
        pump.unlink()
        pump.symlink_to(tmp_path / "ttyUSB1")
        plate.symlink_to(tmp_path / "ttyUSB0")
        with sole(lab(tmp_path / "b", f"serial://{plate}")):
            pass
        again = lab(tmp_path / "c", f"serial://{tmp_path}/ttyUSB1")
        with pytest.raises(StoreLocked, match="is in use"), sole(again):
            pass


def test_an_adapter_that_is_drawn_while_its_name_is_looked_for_ends_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Path) -> None:
        raise FileNotFoundError(self)

    monkeypatch.setattr(discovery, "BY_ID", tmp_path)
    monkeypatch.setattr(Path, "iterdir", gone)
    assert discovery.lasting_names() == {}


def test_what_one_lab_file_names_twice_is_one_controllers(tmp_path: Path) -> None:
    with sole(lab(tmp_path / "a", *(f"zmq+tcp://{host}:4001?actor=N1.pump" for host in ("127.0.0.1", "localhost")))):
        pass


def test_a_port_is_asked_by_nobody_while_a_lab_file_has_it(tmp_path: Path) -> None:
    """Who is there is asked in each driver's words, and a line through the network can be opened twice."""
    first = lab(tmp_path / "a", "tcp://box:4001")
    with sole(first):
        with pytest.raises(StoreLocked, match=rf"rfc2217://box:4001: box:4001 .* in {first.folder} "):
            alone("rfc2217://box:4001", None).__enter__()
        with alone("rfc2217://box:4001", first), alone("tcp://box:4002", None):
            pass
        asked = CliRunner().invoke(app, ["ports", "--at", "tcp://box:4001"])
        assert "not asked. tcp://box:4001: box:4001 is in use" in asked.stderr and "drivers." not in asked.output
    with alone("tcp://box:4001", None), pytest.raises(StoreLocked, match=r"box:4001 is in use \(process"), sole(first):
        pass


def test_by_hand_no_other_bench_is_taken_for_the_same_device(tmp_path: Path) -> None:
    first, second = (lab(tmp_path / name, "tcp://box:4001") for name in "ab")
    with (
        taken(first, live=True),
        taken(second, live=False),
        pytest.raises(StoreLocked, match="in use for another lab"),
        taken(second, live=True, looks=True),
    ):
        pass
    with taken(second, live=True):
        pass


def test_where_no_lock_can_be_made_it_is_said_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with caplog.at_level(logging.WARNING), sole(lab(tmp_path / "a", "tcp://box:4001")):
        pass
    assert "whether another lab file has box:4001 is not known" in caplog.text
