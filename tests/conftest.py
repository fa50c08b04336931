"""What every test stands on: drawn examples that are the same every time, and a folder for what is left behind."""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# The verdict on a change is a function of the change: no example is drawn by luck, and none is timed.
settings.register_profile(
    "house", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

sys.dont_write_bytecode = False  # the longer sweeps read what the suite has compiled


def pytest_collection_finish() -> None:
    """What was imported is not looked through for garbage again and again (a sixth of the dashboard's tests)."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_configure(config: pytest.Config) -> None:
    """Where several processes share the tests (``pytest -n 2``) they go through a set in the same order.

    And what tests start hears a SIGHUP, under nohup too, which has whatever begins under it hear none.
    """
    if config.getoption("numprocesses", None):
        os.environ.setdefault("PYTHONHASHSEED", "0")
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # no handler outlives an exec: there it is the default again


def pytest_itemcollected(item: pytest.Item) -> None:
    """They share them by their names, which are therefore the same in each."""
    if " at 0x" in item.nodeid:
        raise pytest.UsageError(f"{item.nodeid} holds an address, another one each time. Say what its ids are.")


@pytest.fixture(scope="session", autouse=True)
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a process that a test killed could not clear away itself goes with the session."""
    tmp_path_factory.getbasetemp()  # the folders of the tests themselves stay where pytest keeps them
    with tempfile.TemporaryDirectory(prefix="labloop-tests-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # some tests are another user
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", folder)
            patch.setenv("XDG_STATE_HOME", os.path.join(folder, "state"))  # others test beside, with equal addresses
            patch.setattr(tempfile, "tempdir", None)
            patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # no process that a test starts compiles the house
            # What tests start draws its own hashes; a pipe has no width and no colours, whatever a server wants.
            for name in ("PYTHONHASHSEED", "COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
                patch.delenv(name, raising=False)
            # What lies in an inbox is read in one turn, however long a busy computer is at the first of it.
            patch.setattr("labloop.runner.lookout.TURN_S", 60.0)
            yield
