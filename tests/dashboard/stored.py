"""Figures of the stories as they were drawn once, so that the pictures do not hang on a processor's last digits.

test_stored.py holds each against what the real process says of the same run.
"""

from pathlib import Path

import msgspec

from labloop.planner.figure import KINDS, Figure, NoFigure, Want, pack, read_answer
from labloop.study.drawing import Drawer

FIGURES = Path(__file__).parent / "figures"
STORIES = ("finished", "told", "kitchen", "begun")


class StoredPainter:
    """Answers at once with the story's figure, as labloop.dashboard.painter.Painter does from a process."""

    wants: list[Want] = []
    late = False  # leaves wants unanswered, as a long computation does

    def __init__(self, folder, take):
        self._folder, self._take = folder, take

    def want(self, want):
        StoredPainter.wants.append(want)
        if not StoredPainter.late:
            figure = stored(self._folder.name, want.kind)
            if isinstance(figure, Figure) and want.through is not None:
                figure = msgspec.structs.replace(figure, through=want.through, is_best=False)
            self._take(msgspec.structs.replace(figure, number=want.number))

    def close(self):
        self._folder = None


def stored(story: str, kind: str) -> Figure | NoFigure:
    """What was drawn of a story."""
    return read_answer((FIGURES / f"{story}-{kind}.json").read_bytes())


def redraw(story: str, folder: Path) -> None:
    """Draw a story's figures anew and keep them."""
    FIGURES.mkdir(exist_ok=True)
    for kind in KINDS:
        (FIGURES / f"{story}-{kind}.json").write_bytes(pack(drawn(folder, kind)))


def drawn(folder: Path, kind: str) -> Figure | NoFigure:
    """What the process says of a run, with a clock that tells half a second."""
    return Drawer(folder, clock=iter((0.0, 0.5)).__next__).draw(Want(number=1, kind=kind))
