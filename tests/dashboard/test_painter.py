"""The dashboard's side of the process that draws: real processes, real pipes."""

import os
import signal
from queue import Queue

import pytest

from labloop.dashboard.painter import Painter
from labloop.planner.figure import Figure, NoFigure, Want

from . import journals

PATIENCE_S = 120


@pytest.fixture
def painter(written):
    folder, _ = written(journals.told)
    answers = Queue()
    one = Painter(folder, answers.put)
    one.answers = answers
    yield one
    one.close()


def test_a_want_is_answered(painter):
    assert painter.pid is None  # nothing runs before somebody looks
    painter.want(Want(number=1, kind="front"))
    answer = painter.answers.get(timeout=PATIENCE_S)
    assert isinstance(answer, Figure) and answer.number == 1 and answer.body.wishes == ["yield", "cost"]


def test_a_process_that_dies_is_said_and_the_next_want_begins_another(painter):
    painter.want(Want(number=1, kind="front"))
    painter.answers.get(timeout=PATIENCE_S)
    first = painter.pid
    os.kill(first, signal.SIGKILL)
    answer = painter.answers.get(timeout=PATIENCE_S)
    assert isinstance(answer, NoFigure) and answer.words == "The process that draws ended: killed by SIGKILL"
    painter.want(Want(number=2, kind="parity"))
    answer = painter.answers.get(timeout=PATIENCE_S)
    assert isinstance(answer, Figure) and answer.number == 2 and painter.pid != first


def test_closing_ends_the_process_at_once_and_is_harmless_twice(painter):
    painter.want(Want(number=1, kind="slices"))
    pid = painter.pid
    painter.close()
    painter.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert painter.pid is None
