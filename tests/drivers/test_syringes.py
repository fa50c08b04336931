"""A syringe's diameter: looked up, believed within the makers' own spread, refused when it cannot be."""

import itertools

import pytest

from drivers.new_era import NE1000
from drivers.syringes import MAKERS, diameter_of, refuse_contradiction
from labloop.campaign.errors import SpecError


@pytest.mark.parametrize(
    ("maker", "volume_ul", "diameter_mm"),
    [
        ("BD", 10_000.0, 14.43),  # NE-1000 manual 12.7
        ("bd ", 1_000.0, 4.699),
        ("Terumo", 20_000.0, 20.15),
        ("Hamilton", 1_000.0, 4.607),  # 1001 TLL: 4.61 mm
        ("SGE", 100.0, 1.457),  # NE-1000 manual 12.7: 1.457
        ("SGE", 50.0, 1.03),
    ],
)
def test_the_makers_sizes(maker: str, volume_ul: float, diameter_mm: float) -> None:
    assert diameter_of(maker, volume_ul) == pytest.approx(diameter_mm, abs=6e-3)


def test_what_no_table_has_is_not_guessed() -> None:
    assert diameter_of("BD", 7_000.0) is None and diameter_of("Acme", 10_000.0) is None
    refuse_contradiction("Acme", 10_000.0, 99.0)


def test_no_size_can_be_taken_for_another() -> None:
    for sizes in MAKERS.values():
        known = sorted(set(sizes.values()))
        for small, large in itertools.pairwise(known):
            assert large / small > 1.12


@pytest.mark.parametrize(
    ("syringe", "word"),
    [
        ({"maker": "BD", "volume": "10 mL", "diameter": "11.99 mm"}, "which has 14.43 mm inside"),
        ({"maker": "Terumo", "volume": "10 mL", "diameter": "14.43 mm"}, "which has 15.8 mm inside"),
        ({"maker": "Acme", "volume": "10 mL"}, "known of: BD, Terumo, Hamilton, SGE"),
        ({"volume": "7 mL"}, "known of: none"),
    ],
)
def test_a_pump_refuses_a_syringe_that_cannot_be(syringe: dict[str, str], word: str) -> None:
    with pytest.raises(SpecError, match=word):
        NE1000.declare({"address": 0, "syringe": syringe})


def test_a_diameter_left_out_is_looked_up() -> None:
    def limits(syringe: dict[str, str]) -> list[float | None]:
        return [one.high for one in NE1000.declare({"address": 0, "syringe": syringe})["dispense"].settings]

    whole = {"maker": "BD", "volume": "10 mL", "diameter": "14.43 mm"}
    assert limits({"maker": "BD", "volume": "10 mL"}) == limits(whole)
    assert limits({"maker": "BD", "volume": "50 mL", "diameter": "26.7 mm"}), "the shipped lab's"
