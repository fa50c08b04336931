"""The figures that the pictures show are those that the model of the same run says."""

import msgspec
import pytest

from labloop.planner.figure import KINDS

from . import journals, kitchen
from .stored import STORIES, drawn, redraw, stored


@pytest.mark.parametrize("story", STORIES)
def test_stored_figures_are_what_the_process_says_of_the_run(written, story, request):
    folder, _ = written(getattr(journals, story, None) or getattr(kitchen, story))
    if request.config.option.update_snapshots:
        redraw(story, folder)
    for kind in KINDS:
        hold(msgspec.to_builtins(stored(story, kind)), msgspec.to_builtins(drawn(folder, kind)), f"{story} {kind}")


def hold(stored: object, drawn: object, where: str) -> None:
    """Equal but for what another processor rounds otherwise."""
    if isinstance(stored, dict) and isinstance(drawn, dict):
        assert stored.keys() == drawn.keys(), where
        for key in stored:
            hold(stored[key], drawn[key], f"{where} {key}")
    elif isinstance(stored, list) and isinstance(drawn, list):
        assert len(stored) == len(drawn), where
        for at, (one, other) in enumerate(zip(stored, drawn, strict=True)):
            hold(one, other, f"{where} {at}")
    elif isinstance(stored, float):
        assert drawn == pytest.approx(stored, rel=0.02, abs=0.02), where
    elif not where.endswith("model"):  # in its words the noise is written with three digits
        assert stored == drawn, where
