"""The notifier: a process of its own that reads a run's journal and tells people outside of it.

    python -P -m labloop.runner.notifier RUN --after SEQ

It begins with a run whose lab file has ``notify:``, in a session of its own. It holds no port and no lock, and writes
nothing but its log (notify.log) and how its targets answer (notify.json): whatever becomes of it or of the network, the
run does not notice. The runner holds the other end of its stdin. When that closes,

    the journal says how the run ended    the rest is told, and it ends
    the journal does not                  the runner was killed: that is told, and of a live run what the guard did

A runner that hangs is told too. What goes down with the whole computer is told by nobody.
"""

import argparse
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from labloop.campaign import events as e
from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.spec import LabSpec
from labloop.campaign.state import FINISHED, HALTED, STOPPED, CampaignState
from labloop.campaign.view import SIMULATED_MODES
from labloop.journal import Reader, StoreError, guard_left_unsafe, look, look_at_guard
from labloop.journal.files import read_bounded, write_whole

from . import kept
from .addresses import address_of
from .notices import Notice, Notices
from .sending import Outbox

JOURNAL: Final = "journal.db"
SHOWN: Final = "notify.json"
LONGEST: Final = 1_000_000  # bytes of notify.json
# Two looks at the journal: a person is not told sooner by more of them.
LOOK_S: Final = 0.5
# The guard of a runner that was killed acts within seconds, on dead lines within half a minute.
GUARD_S: Final = 60.0
# After the run's end: five tries with their pauses and deadlines, and no longer.
REST_S: Final = 900.0
ENDED: Final = frozenset({FINISHED, STOPPED, HALTED})


class Notifier:
    """Reads one run and fills an outbox for each target that is told of it."""

    def __init__(self, folder: Path, after: int) -> None:
        """``after``: number of the last fact before this run of it. Raises StoreError, StateError, SpecError."""
        self.folder = folder
        self._reader = Reader(folder / JOURNAL)
        self._state = CampaignState()
        self._shown: dict[str, dict[str, str | int]] = {}
        for record in self._reader.records():
            if record.seq > after:
                break
            self._state.apply(record)
        opened = self._state.opened
        spec = kept.kept_spec(folder, self._state)
        assert opened is not None  # else kept_spec has said so
        self._live = opened.mode == "live"
        lab = kept.kept_lab(folder, opened, kept.lab_folder(folder))
        self._notices = Notices(spec, self._state, str(folder))
        self._begun = False
        simulated = opened.mode in SIMULATED_MODES or lab.simulated
        head = f"{'SIMULATED ' if simulated else ''}{spec.campaign}"
        self._boxes = {name: self._box(name, lab, head) for name in told_of(lab, opened.mode)}
        self._about = {name: lab.notify[name].about for name in self._boxes}
        for name in self._boxes:  # known at once, and not only in the night
            try:
                address_of(lab.notify[name], lab.folder)
            except SpecError as error:
                self.said(name, str(error))

    def _box(self, name: str, lab: LabSpec, head: str) -> Outbox:
        return Outbox(name, partial(address_of, lab.notify[name], lab.folder), head, self.said)

    def run(self, stdin: int) -> None:
        """Read and tell until the runner is gone and all is told, or cannot be."""
        for box in self._boxes.values():
            box.start()
        gone, last, ours, hung = threading.Event(), False, True, False
        threading.Thread(target=_wait_for_end, args=(stdin, gone), daemon=True).start()
        while ours and not last:
            last = gone.wait(LOOK_S)  # before the last look, so that no fact is missed
            ours = self._read_on()  # else another runner has taken the run up, with a notifier of its own
            state = look(self.folder)
            if state == "hung" and not hung:
                self.tell(Notice("alarm", "RUNNER HUNG", "Its heart stands still; the journal says no more."))
            hung = state == "hung"
        if ours and self._begun and self._state.state not in ENDED:
            self._gone()
        self._reader.close()
        for box in self._boxes.values():
            box.close()
        until_s = time.monotonic() + REST_S
        for box in self._boxes.values():
            if not box.join(max(until_s - time.monotonic(), 0.0)):
                say(f"{box.name}: given up, something is not told")

    def tell(self, notice: Notice) -> None:
        """To every target that wants such a thing."""
        for name, box in self._boxes.items():
            if notice.about in self._about[name]:
                box.put(notice)

    def said(self, name: str, why: str) -> None:
        """A message to a target was sent, or not: into the log, and where status finds it."""
        say(f"{name}: {why or 'sent'}")
        one = self._shown.setdefault(name, {"sent": 0, "failed": 0, "why": ""})
        one["failed" if why else "sent"] = int(one["failed" if why else "sent"]) + 1
        one |= {"why": why, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        try:
            write_whole(self.folder / SHOWN, msgspec.json.encode(self._shown), durable=False)
        except StoreError as error:
            say(f"could not note it: {error}")

    def _read_on(self) -> bool:
        """Hear what is new; False: another runner's facts begin here."""
        if not self._reader.changed():
            return True
        for record in self._reader.records(self._state.seq):
            if isinstance(record.event, e.RunStarted):
                if self._begun:
                    return False
                self._begun = True
            self._state.apply(record)
            if isinstance(record.event, e.Amended):
                self._notices.spec = kept.kept_spec(self.folder, self._state)
            for notice in self._notices.of(record.event):
                self.tell(notice)
        return True

    def _gone(self) -> None:
        """The runner was killed; of a live run the guard's deed is waited for."""
        title, words = "RUNNER GONE", "It ended without a word; the journal says that the run goes on."
        if not self._live:
            self.tell(Notice("alarm", title, words))
            return
        until_s = time.monotonic() + GUARD_S
        while look_at_guard(self.folder) == "alive" and time.monotonic() < until_s:
            time.sleep(LOOK_S)
        unsafe = guard_left_unsafe(self.folder)
        did = {None: "The guard has NOT said that the bench is safe.", 0: "The guard made the bench safe."}
        left = did.get(unsafe, f"The bench is NOT safe: the guard could not make {unsafe} things safe (guard.log).")
        self.tell(Notice("alarm", title, f"{left}\n{words}"))


def _wait_for_end(stdin: int, gone: threading.Event) -> None:
    """The other end of the pipe is the runner's: the kernel closes it however the runner went."""
    while os.read(stdin, 4096):
        pass
    gone.set()


def told_of(lab: LabSpec, mode: str) -> list[str]:
    """The targets that are told of a run in this mode."""
    return [name for name, one in lab.notify.items() if mode == "live" or (mode == "simulated" and one.simulated)]


def shown(folder: Path) -> dict[str, dict[str, str | int]]:
    """How a run's targets answered: {name: {sent, failed, why (of the last: "": it was sent), at}}."""
    try:
        return msgspec.json.decode(read_bounded(folder / SHOWN, LONGEST), type=dict[str, dict[str, str | int]])
    except FileNotFoundError:
        return {}
    except (OSError, StoreError, msgspec.DecodeError) as error:
        return {SHOWN: {"sent": 0, "failed": 0, "why": f"cannot be read: {error}", "at": ""}}


def say(text: str) -> None:
    """Into the log; a disk that takes nothing is no reason to stop."""
    with suppress(OSError):
        sys.stderr.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} notifier {os.getpid()} {text}\n")
        sys.stderr.flush()


def main(arguments: list[str] | None = None) -> int:
    """Tell until the run is over. 0: it is; 2: its folder cannot be read."""
    for name in ("SIGINT", "SIGHUP", "SIGQUIT", "SIGTSTP", "SIGPIPE"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    parser = argparse.ArgumentParser(prog="python -m labloop.runner.notifier", description="Tell of a run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--after", type=int, required=True)
    given = parser.parse_args(arguments)
    try:
        Notifier(given.run, given.after).run(sys.stdin.fileno())
    except LabloopError as error:
        say(f"cannot go on: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
