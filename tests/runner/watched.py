"""A runner that holds a bench and does nothing, so that guards can be tried on it.

    python watched.py CAMPAIGN RUN HUNG_AFTER_S

It has all that a guard looks at: the run's folder, lock and heartbeat, the bench's lease, and a guard of its own. A
line on its stdin: ``end`` gives the bench back; ``lease`` says on stdout whether the bench is still its own.
"""

import select
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.journal import Blobs, Journal, Presence, utc_now
from labloop.runner import guarding as guards
from labloop.runner.book import BenchBook
from labloop.runner.folder import Order, create
from labloop.runner.guarding import Guarding
from labloop.runner.memory import RunMemory


def patient(command: list[str], **more: Any) -> "subprocess.Popen[bytes]":
    """The guard's process, with time for an instrument's counters on a busy computer."""
    at = command.index("labloop.runner.guard")
    return subprocess.Popen([*command[:at], "tests.runner.patient_guard", *command[at + 1 :]], **more)


def main(campaign: Path, run: Path, hung_after_s: float) -> None:
    guards.subprocess = SimpleNamespace(**vars(subprocess) | {"Popen": patient})  # type: ignore[attr-defined]
    folder, _, lab_spec, opened = create(Order(campaign=campaign, run=run, live=True))
    with Presence(run, every_s=0.1) as presence, Journal.create(run / "journal.db") as journal:
        memory = RunMemory(journal, Blobs(run / "blobs"), s.CampaignState())
        memory.record(opened, e.RunStarted())
        guarding = Guarding(run, memory, hung_after_s)
        guarding.start()
        book = BenchBook.open(lab_spec.folder, lab_spec.name, utc_now)
        book.take_lease(folder.name, "live", {})
        memory.record(e.InstrumentIdentified(instrument="a", model="box", serial=""))
        while True:
            presence.beat(at_s=time.monotonic())
            guarding.look()
            if not select.select([sys.stdin], [], [], 0.02)[0]:
                continue
            word = sys.stdin.readline().strip()
            if word == "end":
                book.release_lease(folder.name, {})
                book.close()
                guarding.close()
                return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
