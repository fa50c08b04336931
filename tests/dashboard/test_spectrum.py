"""The raw array of a trial."""

from labloop.dashboard.source import RunSource
from labloop.dashboard.spectrum import extent, raw_of

from . import journals
from .story import Story


def source_of(story: Story) -> RunSource:
    source = RunSource(story.close(), story.now, lambda folder: "alive")
    source.poll(10**6)
    source.close()
    return source


def test_the_array_that_a_trial_read_is_given_point_by_point(tmp_path):
    source = source_of(journals.running(tmp_path / "run", 3))
    raw = raw_of(source.state.trials[3], source.folder / "blobs")
    assert raw is not None and (raw.name, raw.instrument, raw.unit) == ("spectrum", "spectrometer", "absorbance")
    assert len(raw.points) == 201
    left, right, low, high = extent(raw.points)
    assert (left, right, high) == (400.0, 800.0, 1.0) and 0 <= low < 0.1
    assert max(raw.points, key=lambda point: point[1])[0] == 590.0


def test_a_trial_that_read_none_has_none(tmp_path):
    source = source_of(journals.running(tmp_path / "run", 5))
    assert raw_of(source.state.trials[5], source.folder / "blobs") is None


def test_a_missing_and_a_damaged_array_are_said_not_raised(tmp_path):
    source = source_of(journals.running(tmp_path / "run", 2))
    first, second = (
        next(r.blob for step in source.state.trials[n].steps for r in step.readings.values() if r.blob) for n in (1, 2)
    )
    (source.folder / "blobs" / first).unlink()
    (source.folder / "blobs" / second).write_bytes(b"12345678" * 2)
    missing, damaged = (raw_of(source.state.trials[n], source.folder / "blobs") for n in (1, 2))
    assert missing is not None and "this blob is missing" in missing.trouble and not missing.points
    assert damaged is not None and "this blob is damaged" in damaged.trouble and not damaged.points
