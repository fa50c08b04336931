"""Alive, gone or hung."""

import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from labloop.journal import Presence, StoreLocked, guard_left_unsafe, look
from labloop.journal.errors import StoreFull
from labloop.journal.locks import FileLock
from labloop.journal.presence import GUARD_LOCK, HUNG_AFTER_S, LOCK, SHOWN, last_beat, last_runner, shown

RUNNER = """
import sys, time
from pathlib import Path
from labloop.journal import Presence
presence = Presence(Path(sys.argv[1]))
print("runs", flush=True)
time.sleep(600)
"""


class Clock:
    def __init__(self, now_s: float = 5000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "x-1"


def test_nobody_was_ever_here(folder):
    assert look(folder) == "gone" and last_runner(folder) is None and shown(folder) == {}


def test_a_runner_is_alive_while_its_heart_beats_then_hung_then_gone(folder):
    clock = Clock()
    with Presence(folder, now=clock) as presence:
        assert look(folder, clock.now_s) == "alive"
        assert look(folder, clock.now_s + HUNG_AFTER_S) == "alive"
        assert look(folder, clock.now_s + HUNG_AFTER_S + 0.1) == "hung"
        clock.now_s += 60
        assert look(folder, clock.now_s) == "hung"
        presence.beat()
        assert look(folder, clock.now_s) == "alive"
    assert look(folder, clock.now_s) == "gone"


def test_the_folder_is_private(folder):
    with Presence(folder):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_second_runner_is_told_who_runs(folder):
    with Presence(folder), pytest.raises(StoreLocked, match=f"the run is held by process {os.getpid()}"):
        Presence(folder)


def test_what_is_shown_is_read_elsewhere(folder):
    clock = Clock()
    with Presence(folder, now=clock) as presence:
        assert shown(folder) == {}
        presence.beat(instruments={"hotplate": "holding"}, temperature_c=40.1)
        assert shown(folder) == {"instruments": {"hotplate": "holding"}, "temperature_c": 40.1}
    assert shown(folder)["temperature_c"] == 40.1


def test_a_beat_writes_only_when_there_is_need(folder):
    clock = Clock()
    with Presence(folder, now=clock, every_s=1.0) as presence:
        lock = folder / LOCK
        before = lock.read_bytes()
        clock.now_s += 0.9
        presence.beat()
        assert lock.read_bytes() == before
        presence.beat(a=1)
        assert lock.read_bytes() != before and shown(folder) == {"a": 1}
        inode = (folder / SHOWN).stat().st_ino
        clock.now_s += 5
        presence.beat(a=1)
        assert last_runner(folder).note == {"beat_s": clock.now_s}
        assert (folder / SHOWN).stat().st_ino == inode


def test_what_a_dead_runner_wrote_beside_its_beat_stays_until_the_next_one_beats(folder):
    clock = Clock()
    with Presence(folder, now=clock) as presence:
        presence.also = lambda: {"elapsed_s": 7.0}
        clock.now_s += 2.0
        presence.beat()
    assert last_beat(folder) == {"beat_s": clock.now_s, "elapsed_s": 7.0}
    clock.now_s += 2.0
    with Presence(folder, now=clock) as presence:
        assert last_beat(folder) == {"beat_s": clock.now_s, "elapsed_s": 7.0} and presence.former["elapsed_s"] == 7.0


def test_a_full_disk_stops_the_show_and_not_the_heart(folder, monkeypatch):
    clock = Clock()

    def full(path, *_, **__):
        raise StoreFull(f"{path}: full")

    with Presence(folder, now=clock) as presence:
        with monkeypatch.context() as patch:
            patch.setattr("labloop.journal.presence.write_whole", full)
            clock.now_s += 60
            presence.beat(a=1)
            assert isinstance(presence.trouble, StoreFull) and look(folder, clock.now_s) == "alive"
        clock.now_s += 2
        presence.beat(a=1)
        assert presence.trouble is None and shown(folder) == {"a": 1}


@pytest.fixture
def runner(folder):
    process = subprocess.Popen([sys.executable, "-c", RUNNER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "runs\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_runner_is_gone_at_once_and_a_stopped_one_hangs(folder, runner):
    assert look(folder) == "alive" and last_runner(folder).pid == runner.pid
    runner.send_signal(signal.SIGSTOP)
    assert look(folder) == "alive"
    assert look(folder, time.monotonic() + HUNG_AFTER_S + 1) == "hung"
    runner.kill()
    runner.wait()
    assert look(folder) == "gone"
    with Presence(folder):
        assert look(folder) == "alive" and last_runner(folder).pid == os.getpid()


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"host": "another"}, "alive"),  # its monotonic clock is not ours
        ({"note": {}}, "alive"),
        ({"pid": 2**22 + 1}, "gone"),  # what the last runner left in the file, before this one has written its own
        ({"started": "before"}, "gone"),
    ],
)
def test_an_old_beat_counts_only_for_the_process_that_gave_it(folder, change, state):
    with Presence(folder, now=Clock(0.0)):
        (folder / LOCK).write_bytes(msgspec.json.encode(msgspec.structs.replace(last_runner(folder), **change)))
        assert look(folder, 1000.0) == state


@pytest.mark.parametrize(
    "note, unsafe",
    [
        ({"state": "acted", "unsafe": 0}, 0),
        ({"state": "acted", "unsafe": 2}, 2),
        ({"state": "acted"}, None),
        ({"state": "acted", "unsafe": None}, None),
        ({"state": "ended", "unsafe": 0}, None),
    ],
)
def test_a_bench_is_called_safe_only_by_a_guard_that_said_so(folder, note, unsafe):
    folder.mkdir(parents=True)
    FileLock.take(folder / GUARD_LOCK, "the guard", note=note).release()
    assert guard_left_unsafe(folder) == unsafe
