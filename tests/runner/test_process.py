"""A process is ended wherever the system lets it be, and one that goes by itself meanwhile is gone."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from labloop.journal import locks
from labloop.runner.process import end_process

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="a hold on a process is Linux's")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM, errno.EMFILE], ids=["old", "sandbox", "no room"])
def test_where_the_system_gives_no_hold_on_a_process_it_is_ended_all_the_same(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refused(pid: int) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pidfd_open", refused)
    started = locks.process_started(process.pid)
    assert started is not None
    assert end_process(process.pid, "some other time") and process.poll() is None
    assert end_process(process.pid, started)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("held", [True, False])
def test_one_that_goes_by_itself_in_that_moment_is_gone(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    def gone_first(whom: int, number: int) -> None:
        process.communicate()
        raise ProcessLookupError(whom, number)

    started = locks.process_started(process.pid)
    assert started is not None
    if not held:
        monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr(*((signal, "pidfd_send_signal") if held else (os, "kill")), gone_first)
    assert end_process(process.pid, started)
    assert process.returncode == 0
