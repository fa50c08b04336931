"""labloop from Python: ask, tell, look; in memory and in a folder; and labloop.run."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labloop
from labloop.campaign.errors import SpecError, StateError
from labloop.campaign.events import ProposalMade
from labloop.journal import StoreLocked
from tests.api.cakes import CAKE, bake, cake

HOUSE = Path(__file__).parents[2]
CAMPAIGNS = HOUSE / "campaigns"


def test_what_the_lab_forbids_is_not_asked_of_a_person_either() -> None:
    heated = {
        "campaign": "heated", "lab": str(CAMPAIGNS / "lab.yaml"),
        "parameters": {"t": {"range": [40, 90], "unit": "degC"}},
        "outcomes": {"y": {"goal": "maximize", "from": "told"}},
        "limits": ["hotplate.temperature <= 60 degC when t > 50 degC"],
        "trial": [{"hotplate.heat": {"temperature": "$t"}}],
    }  # fmt: skip
    with pytest.raises(SpecError) as caught:
        labloop.Campaign(heated, planner="inline")
    assert "asked for 90 degC (at t 90), above the lab's limit" in str(caught.value)
    assert "of 60 degC when t > 50 degC" in str(caught.value)
    mild = heated | {"parameters": {"t": {"range": [40, 60], "unit": "degC"}}}
    with labloop.Campaign(mild, planner="inline") as campaign:
        assert 40 <= campaign.ask()[0].settings["t"] <= 60


@pytest.mark.parametrize(
    ("stands", "written", "noted"),
    [
        ("stock: 50 mL", "stock: 1 uL", ""),
        ("limits:", "totals: {vessel: {of: pump_water.dispense, max: 1 uL}}\nlimits:", ""),
        ("drivers.ika:RCT", "drivers.not_on_this_laptop:RCT", "there is no module drivers.not_on_this_laptop"),
        ("name: droplet-bench", "name: [", "lab.yaml"),
    ],
    ids=["stock", "totals", "driver", "file"],
)
def test_what_is_no_limit_holds_nobody_up_who_works_by_hand(
    stands: str, written: str, noted: str, tmp_path: Path
) -> None:
    lab = tmp_path / "lab.yaml"
    text = (CAMPAIGNS / "lab.yaml").read_text().replace(stands, written)
    lab.write_text("".join(line for line in text.splitlines(keepends=True) if not line.startswith("sample:")))
    pumped = {
        "campaign": "pumped", "lab": str(lab), "parameters": {"rate": {"range": [100, 600], "unit": "uL/min"}},
        "outcomes": {"y": {"goal": "maximize", "from": "told"}},
        "trial": [{"pump_water.dispense": {"rate": "$rate", "time": "5 s"}}],
    }  # fmt: skip
    with labloop.Campaign(pumped, planner="inline") as campaign:
        assert 100 <= campaign.ask()[0].settings["rate"] <= 600
        notes = [note.text for _, note in campaign.state.notes]
        assert [noted in note and "was not held against the limits" in note for note in notes] == [True] * bool(noted)


def test_the_loop_by_hand() -> None:
    with cake() as campaign:
        for _ in range(7):
            (proposal,) = campaign.ask()
            assert set(proposal.settings) == {"sugar", "N", "flour"} and isinstance(proposal.settings["N"], int)
            campaign.tell(proposal.trial, {"yield": bake(proposal.settings)})
        sources = list(campaign.trials()["source"])
        assert sources[:4] == ["sobol"] * 4 and sources[4:] == ["model"] * 3
        mean, sd = proposal.predicted["yield"]
        assert np.isfinite(mean) and sd > 0
        best = campaign.best()
        assert isinstance(best, dict)
        assert best["outcomes"]["yield"]["value"] == max(campaign.trials()["yield"])


def test_what_a_run_would_end_by_is_said_and_refuses_nothing() -> None:
    rules = {"no_improvement": "2 trials", "regret_below": 500}
    with cake(stop_when=rules) as campaign, cake(budget={"trials": 4}) as short:
        campaign.tell_settings([{"sugar": 20, "N": 2, "flour": "rye"}] * 4, [{"yield": 30.0 + at} for at in range(4)])
        assert campaign.enough() is None
        (proposal,) = campaign.ask()
        assert "can still be gained" in str(campaign.enough())
        for trial in (proposal.trial, campaign.ask()[0].trial):
            campaign.tell(trial, {"yield": 1.0})
        assert str(campaign.enough()).startswith("no improvement in 2 trials (asked for: 2); best so far is trial 4")
        for one in short.ask(4):
            assert short.enough() is None
            short.tell(one.trial, {"yield": 1.0})
        assert short.enough() == "the budget of 4 trials is measured" and short.ask()


def test_of_proposals_made_together_the_first_says_what_can_still_be_gained() -> None:
    with cake(stop_when={"regret_below": 5}) as campaign:
        campaign.tell_settings([{"sugar": 20, "N": 2, "flour": "rye"}], [{"yield": 30}])
        for knew, bounds in ((10, (9.0, 9.0)), (20, (1.0, 9.0)), (30, (9.0, 1.0))):
            first = campaign._told.state.next_trial()
            campaign._told.memory.record(
                *(
                    ProposalMade(
                        trial=first + at, sample="S", settings={"sugar": 20, "N": 2, "flour": "rye"}, source="model",
                        knew=knew, outlook={"regret_bound": bound},
                    )
                    for at, bound in enumerate(bounds)
                )
            )  # fmt: skip
            campaign.tell_settings([{"sugar": 20, "N": 2, "flour": "rye"}], [{"yield": 30}])
            assert (campaign.enough() is not None) == (bounds[0] < 5)


def test_a_cell_that_is_run_again_is_told_to_close_what_it_has(tmp_path: Path) -> None:
    said = r"held by process \d+ on .*, which is this one.*`campaign\.close\(\)`"
    with labloop.Campaign(CAKE, tmp_path / "run", planner="inline"), pytest.raises(StoreLocked, match=said):
        labloop.Campaign(CAKE, tmp_path / "run", planner="inline")
    labloop.Campaign(CAKE, tmp_path / "run", planner="inline").close()


def test_open_proposals_are_pending_and_all_different() -> None:
    with cake() as campaign:
        first, second = campaign.ask(2)
        (third,) = campaign.ask()
        assert (first.trial, second.trial, third.trial) == (1, 2, 3)
        assert len({tuple(one.settings.values()) for one in (first, second, third)}) == 3
        campaign.tell(second.trial, {"yield": 12})
        assert list(campaign.trials()["state"]) == ["proposed", "measured", "proposed"]


def test_the_same_facts_propose_the_same() -> None:
    def settings(seed: int) -> list[Any]:
        with labloop.Campaign(CAKE, planner="inline", seed=seed) as campaign:
            campaign.tell_settings([{"sugar": 20, "N": 3, "flour": "rye"}], [{"yield": 12}])
            return [one.settings for one in campaign.ask(3)]

    assert settings(1) == settings(1)
    assert settings(1) != settings(2)


@pytest.mark.parametrize(
    ("written", "value", "sd"),
    [
        (12, 12.0, None),
        (np.float32(12.5), 12.5, None),
        (Fraction(1, 4), 0.25, None),
        ("12.34(5)", 12.34, 0.05),
        ("1.2 cm", 12.0, None),
        ("1.20(3) cm", 12.0, 0.3),
        ((12, 0.5), 12.0, 0.5),
        ([np.float64(12), np.float64(0)], 12.0, None),
    ],
)
def test_how_a_value_may_be_told(written: Any, value: float, sd: float | None) -> None:
    with cake() as campaign:
        campaign.tell_settings({"sugar": 20.0, "N": 3, "flour": "rye"}, {"yield": written})
        reading = campaign.state.trials[1].outcomes["yield"]
        assert (reading.value, reading.sd, reading.unit) == (pytest.approx(value), pytest.approx(sd), "mm")


@pytest.mark.parametrize("written", [float("nan"), float("inf"), True, "tall", "12 g", (1, 2, 3), (12, -1), [], {}])
def test_what_is_no_value(written: Any) -> None:
    with cake() as campaign:
        with pytest.raises(SpecError, match="yield"):
            campaign.tell_settings({"sugar": 20.0, "N": 3, "flour": "rye"}, {"yield": written})
        assert campaign.state.trials == {}


def test_names_that_are_not_known_get_a_suggestion() -> None:
    with cake() as campaign:
        campaign.ask()
        with pytest.raises(SpecError, match=r"yeild is no outcome. Did you mean yield\?"):
            campaign.tell(1, {"yeild": 12})
        with pytest.raises(SpecError) as told:
            campaign.tell_settings({"suger": 20.0, "N": 3, "flour": "oat"}, {"yield": 12})
        assert [word in str(told.value) for word in ("Did you mean sugar?", "sugar is missing", "oat")] == [True] * 3
        with pytest.raises(SpecError, match="there is no trial 2; the last is 1"):
            campaign.tell(2, {"yield": 12})


def test_failed_and_void_and_only_one_result_for_a_trial() -> None:
    with cake() as campaign:
        campaign.ask(3)
        campaign.tell(1, failed="clogged")
        campaign.tell(2, void="cable")
        campaign.tell(3, {"yield": 12})
        assert list(campaign.trials()["state"]) == ["failed", "abandoned", "measured"]
        for trial in (1, 2, 3):
            with pytest.raises(StateError, match="first result is kept"):
                campaign.tell(trial, {"yield": 13})
        assert campaign.state.trials[3].outcomes["yield"].value == 12
        assert len(campaign.state.notes) == 3, "that another result came is not forgotten"
        with pytest.raises(StateError):
            campaign.tell(3, {"yield": 12})
        assert len(campaign.state.notes) == 3, "the same result again says nothing new"


def test_old_data_comes_whole_or_not_at_all() -> None:
    rows = [{"sugar": 20 + at, "N": 1 + at, "flour": "rye"} for at in range(6)]
    results = [{"yield": 10 + at} for at in range(6)]
    with cake() as campaign:
        with pytest.raises(SpecError, match="row 4: N: "):
            campaign.tell_settings([*rows[:3], {**rows[3], "N": 40}, *rows[4:]], results)
        with pytest.raises(SpecError, match="5 settings and 6 outcomes"):
            campaign.tell_settings(rows[:5], results)
        assert campaign.state.trials == {}
        assert campaign.tell_settings(rows, results) == [1, 2, 3, 4, 5, 6]
        (proposal,) = campaign.ask()
        assert (proposal.trial, proposal.source) == (7, "model"), "data told count as initial trials"
        assert campaign.state.measured == 0, "and cost no budget"


def test_a_large_table_of_candidates(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame({"sugar": np.linspace(10, 90, 9000), "N": 3, "flour": "rye"})
    with cake(tmp_path / "r", candidates=rows) as campaign:
        (proposal,) = campaign.ask()
        assert proposal.settings in rows.to_dict("records")
    from labloop.runner.look import see

    assert len(see(tmp_path / "r").spec.candidates.rows) == 9000


def test_the_table_of_trials(tmp_path: Path) -> None:
    names = {"state": {"range": [0, 1]}, "trial": {"range": [0, 1]}}
    with cake(parameters=names, outcomes={"source": {"goal": "maximize"}}) as campaign:
        assert list(campaign.trials().columns[:7]) == [
            "trial", "sample", "role", "state", "source", "settings.state", "settings.trial",
        ]  # fmt: skip
        campaign.tell_settings({"state": 0.5, "trial": 0.25}, {"source": 1})
        table = campaign.trials()
        assert table.loc[0, ["trial", "state", "settings.trial", "outcomes.source"]].tolist() == [
            1,
            "measured",
            0.25,
            1,
        ]
        assert str(table["finished"].dtype).startswith("datetime64") and table["finished"].dt.tz is not None


def test_a_pareto_front() -> None:
    goals = {"strong": {"goal": "maximize"}, "light": {"goal": "minimize"}}
    with cake(outcomes=goals, parameters={"x": {"range": [0, 1]}}) as campaign:
        assert campaign.best() == []
        points = [(1.0, 5.0), (2.0, 6.0), (0.5, 5.5)]
        campaign.tell_settings(
            [{"x": at / 10} for at in range(3)], [{"strong": strong, "light": light} for strong, light in points]
        )
        best = campaign.best()
        assert isinstance(best, list)
        assert sorted(one["trial"] for one in best) == [1, 2]
        with pytest.raises(SpecError, match="light missing"):
            campaign.tell_settings({"x": 0.7}, {"strong": 3})


def test_what_is_no_campaign() -> None:
    with pytest.raises(SpecError, match="outcomes"):
        labloop.Campaign({"labloop": 1, "campaign": "x"})
    with pytest.raises(SpecError, match="no such file"):
        labloop.Campaign("no/where.yaml")
    with pytest.raises(SpecError, match="'process' or 'inline'"):
        labloop.Campaign(CAKE, planner="remote")  # type: ignore[arg-type]
    with cake() as campaign, pytest.raises(SpecError, match="at least 1"):
        campaign.ask(0)
    with cake() as campaign, pytest.raises(SpecError, match="1000 at once are the most"):
        campaign.ask(10**6)


BREAD: dict[str, Any] = {
    "parameters": {"x": {"range": [0, 1]}, "y": {"range": [0, 1]}},
    "outcomes": {"taste": {"goal": "prefer"}},
    "design": {"initial": {"method": "sobol", "trials": 4}, "seed": 3},
}


def liked(settings: dict[str, Any]) -> float:
    """What a person likes, best at (0.7, 0.3)."""
    return float(-12 * ((settings["x"] - 0.7) ** 2 + (settings["y"] - 0.3) ** 2))


def test_a_campaign_of_taste_by_hand() -> None:
    with labloop.Campaign(BREAD, planner="inline", by="anna") as campaign:
        made = {one.trial: one.settings for one in campaign.ask(4)}
        for _ in range(12):
            for a, b in campaign.compare(2):
                better, worse = (a, b) if liked(made[a]) > liked(made[b]) else (b, a)
                campaign.prefer(better, over=worse)
            (proposal,) = campaign.ask()
            made[proposal.trial] = proposal.settings
        best = campaign.best()
        assert isinstance(best, dict) and liked(best["settings"]) > -0.5
        assert best["outcomes"]["taste"]["sd"] > 0
        frame = campaign.trials()
        ranked = frame.sort_values("taste", ascending=False)["trial"]
        assert ranked.iloc[0] == best["trial"]


def test_a_tie_old_data_and_what_is_refused() -> None:
    with labloop.Campaign(BREAD, planner="inline", by="anna") as campaign:
        assert campaign.tell_settings([{"x": 0.1, "y": 0.1}, {"x": 0.9, "y": 0.9}], [{}, {}]) == [1, 2]
        assert campaign.best() is None
        campaign.prefer(1, over=2, tie=True, why="cannot tell")
        (fact,) = campaign.state.tastes.comparisons
        assert (fact.tie, fact.by, fact.why) == (True, "anna", "cannot tell")
        assert campaign.compare() == [(1, 2)]
        for _ in range(30):
            campaign.prefer(1, over=2)
        assert campaign.compare() == [], "no answer could change which is the best"
        with pytest.raises(SpecError, match="taste: is told by comparing"):
            campaign.tell_settings({"x": 0.1, "y": 0.1}, {"taste": 3})
        with pytest.raises(SpecError, match="there is no trial 5"):
            campaign.prefer(5, over=1)
        with pytest.raises(SpecError, match="no better than itself"):
            campaign.prefer(1, over=1)
    with cake() as campaign, pytest.raises(SpecError, match="no outcome of this campaign has goal: prefer"):
        campaign.compare()
