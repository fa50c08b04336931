"""Filtering and ordering of trials."""

from pathlib import Path

import pytest

from labloop.campaign.state import CampaignState
from labloop.dashboard.source import RunSource
from labloop.dashboard.trial_list import Wanted, arranged, columns, value

from . import journals


@pytest.fixture(scope="module")
def source(written_source):
    return written_source(journals.running)


@pytest.fixture(scope="module")
def written_source(tmp_path_factory):
    def read(tell) -> RunSource:
        folder: Path = tmp_path_factory.mktemp("list") / tell.__name__
        story = tell(folder)
        source = RunSource(story.close(), story.now, lambda folder: "alive")
        assert not source.poll(10**6).more
        source.close()
        assert not source.trouble
        return source

    return read


def found(source: RunSource, written: str = "", column: str = "trial", rising: bool = True) -> list[int]:
    assert source.spec is not None and isinstance(source.state, CampaignState)
    return list(arranged(source.state.trials.values(), Wanted(written, source.spec), column, rising))


@pytest.mark.parametrize(
    ("written", "trials"),
    [
        ("", list(range(1, 19))),
        ("failed", [5]),
        ("FAILED", [5]),
        ("abandoned model", [12]),
        ("abandoned sobol", []),
        ("trial<=2", [1, 2]),
        ("trial>=17", [17, 18]),
        ("trial=7", [7]),
        ("spectrum_loss<0.2", [16]),
        ("spectrum_loss>0.8", [2, 3, 4]),
        ("spectrum_loss>0.8 trial<4", [2, 3]),
        ("spectrum_loss<lots", []),
        ("no_such_thing<1", []),
        ("state=failed", [5]),
        ("from=model trial<10", [9]),
    ],
)
def test_every_word_of_a_filter_must_hold(source, written, trials):
    assert found(source, written) == trials


def test_a_choice_is_compared_as_a_word(written_source):
    source = written_source(journals.told)
    assert found(source, "solvent=dmf") == [1, 4]
    assert found(source, "solvent=dmf temperature>100") == [4]


def test_what_has_no_value_stands_last_whichever_way(source):
    rising, falling = (found(source, column="spectrum_loss", rising=way) for way in (True, False))
    assert rising[0] == 16 and falling[0] == 3
    assert rising[-3:] == falling[-3:] == [18, 12, 5]
    assert rising[:-3] == falling[:-3][::-1]


def test_off_by_is_how_far_not_in_which_direction(source):
    order = found(source, column="off by", rising=False)
    assert order[0] == 16 and 14 in order[:3]


def test_every_column_can_be_put_in_order(source):
    for column in columns(source.spec):
        assert sorted(found(source, column=column)) == list(range(1, 19))
    assert value(source.state.trials[5], "state") == "failed"
