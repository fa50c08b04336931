"""One holder; found out at once; free the moment it is gone."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labloop.journal import FileLock, StoreError, StoreLocked
from labloop.journal.locks import GRACE_S, SIZE, held, last_holder, process_started

HOLDER = """
import sys, time
from pathlib import Path
from labloop.journal import FileLock
lock = FileLock.take(Path(sys.argv[1]), "the bench", note={"epoch": 3})
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bench.lock"


@pytest.fixture
def holder(path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


class Clock:
    """Time that passes only by sleeping; ``at(s, do)`` happens on the way."""

    def __init__(self) -> None:
        self.now_s, self.plans = 0.0, []

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        for at_s, do in [plan for plan in self.plans if plan[0] <= self.now_s]:
            self.plans.remove((at_s, do))
            do()


def test_a_lock_is_held_until_it_is_released(path):
    assert not held(path) and last_holder(path) is None
    with FileLock.take(path, "the bench", note={"epoch": 1}) as lock:
        assert held(path)
        lock.check()
        found = last_holder(path)
        assert found == lock.holder and found.pid == os.getpid() and found.note == {"epoch": 1}
        assert found.started == process_started(os.getpid())
    assert not held(path) and last_holder(path) == found
    with pytest.raises(StoreLocked, match="is lost"):
        lock.write(epoch=2)


def test_the_other_holder_is_named(path, holder):
    with pytest.raises(StoreLocked, match=f"the bench is held by process {holder.pid} on ") as refused:
        FileLock.take(path, "the bench")
    assert refused.value.pid == holder.pid and refused.value.host
    assert last_holder(path).note == {"epoch": 3}


def test_it_waits_as_long_as_it_is_told_and_no_longer(path, holder):
    clock = Clock()
    with pytest.raises(StoreLocked):
        FileLock.take(path, "the bench", wait_s=10, now=clock.now, sleep=clock.sleep)
    assert 10 <= clock.now_s < 10.1


def test_it_is_free_at_once_after_kill_9(path, holder):
    clock = Clock()
    clock.plans.append((4.0, lambda: (holder.send_signal(signal.SIGKILL), holder.wait())))
    FileLock.take(path, "the bench", wait_s=10, now=clock.now, sleep=clock.sleep).release()
    assert clock.now_s < 4.1


def test_a_stopped_holder_still_holds(path, holder):
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(StoreLocked):
        FileLock.take(path, "the bench")
    holder.send_signal(signal.SIGCONT)


def test_looks_never_make_a_start_fail(path):
    FileLock.take(path, "the bench").release()
    with path.open() as look:
        fcntl.flock(look, fcntl.LOCK_SH)  # what held() does, caught in the middle
        clock = Clock()
        clock.plans.append((GRACE_S / 2, lambda: fcntl.flock(look, fcntl.LOCK_UN)))
        FileLock.take(path, "the bench", now=clock.now, sleep=clock.sleep).release()
        assert not held(path)
        fcntl.flock(look, fcntl.LOCK_SH)
        assert not held(path)  # nor does one look disturb another


def test_a_forked_child_does_not_keep_the_lock_of_its_dead_parent(path):
    lock = FileLock.take(path, "the bench")
    (lives, born), (end, kill) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(born, b".")
        os.read(end, 1)  # lives on until the parent says so
        os._exit(0)
    try:
        os.read(lives, 1)
        assert held(path)
        lock.release()  # what death does
        assert not held(path)
    finally:
        os.write(kill, b".")
        os.waitpid(child, 0)
        for handle in (lives, born, end, kill):
            os.close(handle)


def test_a_deleted_lock_file_is_noticed_by_its_holder(path):
    lock = FileLock.take(path, "the bench")
    path.unlink()
    with FileLock.take(path, "the bench"), pytest.raises(StoreLocked, match="this lock is lost"):
        lock.check()


def test_the_note_is_renewed_in_place(path):
    with FileLock.take(path, "the bench", note={"words": "x" * 300}) as lock:
        lock.write(beat_s=1.5)
        assert last_holder(path).note == {"beat_s": 1.5}
        assert path.stat().st_size == SIZE
        with pytest.raises(ValueError, match="has room for"):
            lock.write(words="x" * SIZE)


@pytest.mark.parametrize("data", [b"", b"{", b'{"pid": "x"}', b"\xff" * 600])
def test_a_lock_file_without_sense_still_refuses(path, data):
    with FileLock.take(path, "the bench"):
        path.write_bytes(data)
        with pytest.raises(StoreLocked, match="held by another process"):
            FileLock.take(path, "the bench")


def test_a_lock_where_none_can_be_made_is_said(tmp_path):
    with pytest.raises(StoreError, match="cannot lock this file"):
        FileLock.take(tmp_path / "no" / "folder" / "x.lock", "the bench")


def test_a_process_is_told_from_a_later_one_with_its_number(holder):
    started = process_started(holder.pid)
    assert started and started == process_started(holder.pid) != process_started(os.getpid())
    holder.kill()
    holder.wait()
    assert process_started(holder.pid) is None


def test_a_zombie_is_no_process():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{child}").exists() or sys.platform != "linux"
    assert sys.platform != "linux" or process_started(child) is None
    os.waitpid(child, 0)
