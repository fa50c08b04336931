"""What a person is asked, and how an answer is read."""

import pytest

from labloop.campaign.asking import Asking, answer, asking, simulated_answer
from labloop.campaign.errors import SpecError
from labloop.campaign.values import Amount, Reading

SETTINGS = {
    "ask": Amount("Load 4 substrates"),
    "read.plate": Amount("barcode"),
    "read.mass": Amount("g"),
    "read.cells": Amount("number"),
    "simulated.mass": Amount(1.2, "g"),
    "simulated.cells": Amount(4.0),
    "reach_by": Amount(8.0, "h"),
}


def test_settings_are_read() -> None:
    assert asking(SETTINGS) == Asking(
        ask="Load 4 substrates", reads={"plate": "barcode", "mass": "g", "cells": ""},
        simulated={"mass": Amount(1.2, "g"), "cells": Amount(4.0)}, reach_by_s=28_800.0,
    )  # fmt: skip


def test_who_forgets_it_for_a_day_is_not_waited_for_longer() -> None:
    assert asking({"ask": Amount("Look")}).reach_by_s == 86_400.0


@pytest.mark.parametrize(
    ("name", "amount", "word"),
    [
        ("ask", Amount(""), "ask is missing"),
        ("reed.plate", Amount("barcode"), "Did you mean read"),
        ("read", Amount("barcode"), "no setting read"),
        ("read.mass", Amount("grandma"), "no unit"),
        ("read.mass", Amount(3.0), "no kind of answer"),
        ("simulated.colour", Amount("red"), "nothing called colour is read"),
        ("simulated.mass", Amount(1.0, "mL"), "simulated.mass"),
        ("simulated.mass", Amount("much"), "simulated.mass"),
        ("reach_by", Amount(0.0, "s"), "above 0"),
        ("reach_by", Amount(8.0, "mL"), "reach_by = 8.0 mL"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, amount: Amount, word: str) -> None:
    with pytest.raises(SpecError, match=word):
        asking({**SETTINGS, name: amount})


def test_an_answer_is_read_in_the_unit_that_was_asked_for() -> None:
    written = ["plate=P-17", "mass=520", "mg", "cells=4"]
    assert answer(asking(SETTINGS), written) == {
        "plate": Reading(value="P-17"),
        "mass": Reading(value=pytest.approx(0.52), unit="g"),
        "cells": Reading(value=4.0),
    }


@pytest.mark.parametrize(
    ("written", "word"),
    [
        (["plate=P-17", "cells=4"], "mass is missing"),
        (["plate=P-17", "mass=1 g", "cells=4", "colour=red"], "'colour=red' is not asked for"),
        (["plate=P-17", "mass=1 g", "mass=2 g", "cells=4"], "mass is given twice"),
        (["plate=P-17", "mass=1 mL", "cells=4"], "mass = '1 mL'"),
        (["plate=P-17", "mass=nan", "cells=4"], "mass = 'nan'"),
        (["plate=P-17", "mass=9.9E37 mg", "cells=4"], "mass = '9.9E37 mg': 9.9e.37 is what an instrument says"),
        (["plate=P-17", "mass=1 +- 1e200 g", "cells=4"], "a standard deviation of 1e.200"),
        (["plate=\x1b[2J", "mass=1 g", "cells=4"], "printable"),
        (["plate=", "mass=1 g", "cells=4"], "printable"),
        (["0.3", "mL"], "is not asked for"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(written: list[str], word: str) -> None:
    with pytest.raises(SpecError, match=word.replace("'", ".")):
        answer(asking(SETTINGS), written)


def test_a_simulated_person_makes_no_number_up() -> None:
    asked = asking(SETTINGS)
    assert simulated_answer(asked, "s")["mass"] == Reading(value=1.2, unit="g")
    assert str(simulated_answer(asked, "s")["plate"].value).startswith("SIMULATED")
    with pytest.raises(SpecError, match="measures nothing"):
        simulated_answer(asking({"ask": Amount("Weigh"), "read.mass": Amount("g")}), "s")
