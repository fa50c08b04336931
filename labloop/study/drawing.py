"""Figures of a run's model from a process of its own: ``python -m labloop.study.drawing RUN``.

Lines of labloop.planner.figure: what is wanted on stdin, what came of it on stdout, talk on stderr. The run is read as
any other reader does, and its own planner is another process that knows nothing of this one; this one steps back behind
everything else on the machine. Facts are read on for every figure, and the model is kept until a result is new.

    of several wants that wait     the last one counts: whoever asks has gone on
    stdin ends                     this process does, in the middle of a fit as well
"""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO, Final

import msgspec

from labloop.campaign.amendments import texts
from labloop.campaign.errors import LabloopError
from labloop.campaign.spec import CampaignSpec, read_spec
from labloop.campaign.state import CampaignState
from labloop.journal import Reader
from labloop.planner.figure import Figure, NoFigure, Want, pack, read_want
from labloop.planner.planner import Problem
from labloop.planner.portrait import Portrait
from labloop.planner.problem import read_problem

JOURNAL: Final = "journal.db"
NICENESS: Final = 19  # the least: a figure may take as long as it likes, a run may not


@dataclass(slots=True)
class Drawer:
    """One run's figures."""

    folder: Path
    clock: Callable[[], float] = time.monotonic
    _state: CampaignState = field(default_factory=CampaignState)
    _texts: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    _campaign: tuple[CampaignSpec, Problem] | None = None  # what is in force
    _trouble: str = ""
    _portrait: Portrait | None = None
    _rests_on: tuple[object, ...] = ()

    def draw(self, want: Want) -> Figure | NoFigure:
        """The figure of the facts of now, or in words why there is none."""
        begun = self.clock()
        try:
            self._read_on()
            figure = self._now().draw(want)
        except (LabloopError, RuntimeError, ValueError, ArithmeticError) as error:
            if not isinstance(error, LabloopError):
                traceback.print_exc(file=sys.stderr)
            words = str(error) or type(error).__name__
            return NoFigure(number=want.number, words=words, seq=self._state.seq)
        notes = [*figure.notes, *([self._trouble] if self._trouble else [])]
        return msgspec.structs.replace(figure, notes=notes, took_s=round(self.clock() - begun, 3))

    def _read_on(self) -> None:
        """Fold what is new. A journal that cannot be read on still tells what stands before that."""
        self._trouble = ""
        try:
            with Reader(self.folder / JOURNAL) as reader:
                for record in reader.records(self._state.seq):
                    self._state.apply(record)
        except (LabloopError, OSError) as error:
            if not self._state.opened:
                raise error if isinstance(error, LabloopError) else LabloopError(f"{self.folder}: {error}") from error
            self._trouble = f"the journal cannot be read on behind fact {self._state.seq}: {error}"

    def _now(self) -> Portrait:
        """The model of the facts so far; the last one where nothing that it rests on has changed."""
        state, in_force = self._state, self._in_force()
        rests_on = (state.last_result, frozenset(state.open_trials), len(state.amendments))
        if self._portrait is None or rests_on != self._rests_on:
            self._portrait = Portrait(*in_force, state)
            self._rests_on = rests_on
        return self._portrait

    def _in_force(self) -> tuple[CampaignSpec, Problem]:
        """The campaign as it was amended last; what was in force before tells of trials that were made then."""
        if not self._state.opened:
            raise LabloopError("The journal holds no campaign yet")
        written = texts(self._state)
        if self._campaign is None or written != self._texts:
            *former, now = (self._read_text(*one) for one in written)
            self._campaign, self._texts = (now, read_problem(now, former)), written
        return self._campaign

    def _read_text(self, sha256: str, files: Mapping[str, str]) -> CampaignSpec:
        """A text of the campaign, and the files that it names, as the run keeps them."""
        opened = self._state.opened
        assert opened is not None
        blobs = self.folder / "blobs"
        path = self.folder / "campaign.yaml" if sha256 == opened.campaign_sha256 else blobs / sha256
        kept = {name: blobs / sha for name, sha in files.items()}
        lab = self.folder / "lab.yaml" if opened.lab_sha256 else None
        return read_spec(path, files=kept, lab=lab, folder=self.folder, name="the campaign that is in force")


def latest(inbox: "SimpleQueue[bytes]") -> Want:
    """Wait for what is wanted; of several that wait give the last. Raises msgspec.DecodeError."""
    line = inbox.get()
    while True:
        try:
            line = inbox.get_nowait()
        except Empty:
            return read_want(line)


def _listen(stdin: BinaryIO, inbox: "SimpleQueue[bytes]") -> None:
    for line in stdin:
        inbox.put(line)
    os._exit(0)  # nobody is left to look


def main() -> None:
    """Draw until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints is talk, never an answer
    os.nice(NICENESS)
    inbox: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, inbox), daemon=True, name="listener").start()
    drawer = Drawer(Path(sys.argv[1]))
    while True:
        answers.write(pack(drawer.draw(latest(inbox))))


if __name__ == "__main__":
    main()
