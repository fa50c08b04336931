"""A nursery (see nursery.py) whose runners write to a disk that fails when told to.

An order has one key more: {"disk": {"from": k, "count": n, "how": ..., "report": file}}. Deeds are counted from 0 in
the order in which the runner does them: each write, truncation and sync of SQLite's (on its real VFS), and each file
made, synced, put in its place or written by the store itself. Deeds k to k + n - 1 fail, ``how``:

    full      no room: nothing is written                  failed    an I/O error: nothing is written
    torn      half of it is written, then an I/O error     synced    it is done, and said to have failed

The report says how many deeds there were and how many failed, how the runner ended, and what it said.
"""

import errno
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nursery

from labloop.campaign.errors import LabloopError
from labloop.cli.exits import code_of
from tests.journal.faulty_disk import FaultyDisk

HOW = {"full": "refused", "failed": "refused", "torn": "torn", "synced": "done"}


class WholeDisk(FaultyDisk):
    """SQLite's deeds and the store's own, on one count."""

    def __init__(self, plan: dict[str, Any]) -> None:
        super().__init__()
        self.fail_at = range(plan["from"], plan["from"] + plan["count"]) if "from" in plan else None
        self.how = HOW[plan.get("how", "full")]
        full = plan.get("how", "full") == "full"
        self.code = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR_WRITE
        self.errno = errno.ENOSPC if full else errno.EIO
        self.kinds = {"write", "file"} if full else {"write", "truncate", "sync", "file"}

    def install(self) -> None:
        super().install()
        self._former = {name: getattr(os, name) for name in ("fsync", "replace", "write")}
        for name, real in self._former.items():
            setattr(os, name, self._failing(real))
        self._mkstemp = tempfile.mkstemp
        tempfile.mkstemp = self._failing(tempfile.mkstemp)

    def remove(self) -> None:
        for name, real in self._former.items():
            setattr(os, name, real)
        tempfile.mkstemp = self._mkstemp
        super().remove()

    def _failing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def deed(*given: Any, **more: Any) -> Any:
            fate = self._fate("file")
            if fate == "well":
                return real(*given, **more)
            if fate == "done":
                real(*given, **more)
            raise OSError(self.errno, os.strerror(self.errno))

        return deed


def run(order: dict[str, Any], end: Any) -> int:
    """As the nursery's, on such a disk."""
    plan = order.get("disk")
    if plan is None:
        return plain_run(order, end)
    disk = WholeDisk(plan)
    disk.install()
    said = ""
    try:
        code = plain_run(order, end)
    except LabloopError as error:
        said, code = f"{type(error).__name__}: {error}", code_of(error)
    finally:
        disk.remove()
    Path(plan["report"]).write_text(
        json.dumps({"deeds": disk.count, "failed": disk.failed, "code": code, "said": said})
    )
    return code


plain_run = nursery.run

if __name__ == "__main__":
    import labloop.planner.planner  # noqa: F401  torch once, not in each runner

    nursery.run = run
    nursery.main()
