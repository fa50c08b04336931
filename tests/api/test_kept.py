"""labloop from Python: campaigns in a folder, taken up again, amended; and labloop.run."""

from pathlib import Path

import pytest

import labloop
from labloop.campaign.errors import SpecError, StateError
from labloop.journal import StoreLocked
from tests.api.cakes import CAKE, bake, cake

HOUSE = Path(__file__).parents[2]
CAMPAIGNS = HOUSE / "campaigns"


def test_a_folder_keeps_the_campaign(tmp_path: Path) -> None:
    with cake(tmp_path / "r") as campaign:
        (first,) = campaign.ask()
        with pytest.raises(StoreLocked):
            cake(tmp_path / "r")
    with cake(tmp_path / "r") as campaign:
        campaign.tell(first.trial, {"yield": "12.0(5)"})
        (second,) = campaign.ask()
        assert second.trial == 2
        before = campaign.trials()
    with cake(tmp_path / "r") as campaign:
        assert campaign.trials().equals(before)
        assert before.loc[0, "yield.sd"] == 0.5
    with pytest.raises(SpecError, match="another campaign"):
        cake(tmp_path / "r", title="Another cake")


def test_a_dict_with_files_is_read_again_from_its_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flours.csv").write_text("name,protein\nwheat,12\nrye,9\n")
    parameters = {"flour": {"choices": "flours.csv", "descriptors": ["protein"]}, "sugar": {"range": [1, 2]}}
    with cake(tmp_path / "r", parameters=parameters) as campaign:
        campaign.ask()
    (tmp_path / "flours.csv").unlink()
    from labloop.runner.look import see

    assert see(tmp_path / "r").spec.parameters["flour"].values == ("wheat", "rye")


def test_what_cannot_be_planned_begins_nothing(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"engine.model = autoo: must be one of plain, saas, auto"):
        cake(tmp_path / "r", engine={"model": "autoo"})
    assert not (tmp_path / "r").exists()


def test_a_mixture_of_components_in_a_table_is_asked_told_and_taken_up_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fats.csv").write_text("fat,melts,price\nbutter,32,9\nlard,45,3\noil,-6,2\nghee,33,12\n")
    fat = {"mixture": "fats.csv", "descriptors": ["melts"], "sum": "100 g", "unit": "g", "at_most": 2, "at_least": 10}
    more = {"parameters": {"fat": fat}, "design": {"initial": {"trials": 4}, "seed": 2}}

    def soft(settings: dict) -> float:
        melts = {"butter": 32, "lard": 45, "oil": -6, "ghee": 33}
        return -abs(sum(amount * melts[name] for name, amount in settings.items()) - 2000)

    with cake(tmp_path / "r", **more) as campaign:
        for _ in range(6):
            (asked,) = campaign.ask()
            campaign.tell(asked.trial, {"yield": soft(asked.settings)})
    with cake(tmp_path / "r", **more) as campaign:
        (asked,) = campaign.ask()
        there = [amount for amount in asked.settings.values() if amount > 0]
        assert set(asked.settings) == {"butter", "lard", "oil", "ghee"} and sum(there) == pytest.approx(100)
        assert len(there) <= 2 and min(there) >= 10 - 1e-6
    (tmp_path / "fats.csv").unlink()
    from labloop.runner.look import see

    seen = see(tmp_path / "r")
    assert seen.spec.parameters["fat"].table == ((32.0,), (45.0,), (-6.0,), (33.0,))
    assert "; fat by melts; learnt noise sd" in seen.state.trials[asked.trial].proposal.model


def test_the_planner_in_its_own_process(tmp_path: Path) -> None:
    with labloop.Campaign(CAMPAIGNS / "quickstart.yaml", run=tmp_path / "r") as campaign:
        first, _ = campaign.ask(2)
        campaign.tell(first.trial, {"spectrum_loss": 0.41})
        assert first.source == "sobol" and campaign.best()["trial"] == 1  # type: ignore[index,call-overload]


def test_run_is_labloop_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    heard: list[str] = []
    run = labloop.run(
        CAMPAIGNS / "quickstart.yaml", tmp_path / "r", virtual=True, trials=1,
        listen=lambda record, state: heard.append(type(record.event).__name__),
    )  # fmt: skip
    assert (run.exit_code, run.folder) == (0, tmp_path / "r")
    assert heard[0] == "CampaignOpened" and heard[-1] == "CampaignFinished"
    assert run.status()["trials"]["measured"] == 1 and len(run.trials()) == 1
    assert run.best()["trial"] == 1  # type: ignore[index,call-overload]
    with pytest.raises(SpecError, match="gremlins"):
        labloop.run(CAMPAIGNS / "quickstart.yaml", tmp_path / "s", virtual=True, faults="gremlins")
    with pytest.raises(SpecError, match="another campaign"):
        labloop.Campaign(CAKE, run=tmp_path / "r")


def test_a_run_that_has_ended_may_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old data come into a run of the bench as well, and its own trials keep what the instruments said."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = labloop.run(CAMPAIGNS / "quickstart.yaml", tmp_path / "r", virtual=True, trials=1)
    settings = {"q_agno3": 20.0, "q_pva": 20.0, "q_tsc": 10.0, "q_seed": 10.0, "q_tot": 500.0}
    with labloop.Campaign(CAMPAIGNS / "quickstart.yaml", run=run.folder, planner="inline") as campaign:
        assert campaign.tell_settings(settings, {"spectrum_loss": 0.01}) == [2]
        with pytest.raises(StateError, match="measured already"):
            campaign.tell(1, {"spectrum_loss": 0.01})
    assert run.best()["trial"] == 2  # type: ignore[index,call-overload]
    assert list(run.trials()["source"]) == ["sobol", "told"]


@pytest.mark.parametrize("kept", [True, False])
def test_it_is_amended_and_old_data_stay_in_use(tmp_path: Path, kept: bool) -> None:
    run = tmp_path / "run" if kept else None
    with cake(run) as campaign:
        for proposal in campaign.ask(6):
            campaign.tell(proposal.trial, {"yield": bake(proposal.settings)})
        narrow = CAKE | {
            "parameters": CAKE["parameters"] | {
                "sugar": {"range": [40, 60], "unit": "g"}, "flour": {"choices": ["wheat", "spelt", "maize"]},
            },
        }  # fmt: skip
        said = campaign.amend(narrow, why="rye is out")
        assert said == [
            "parameters.sugar.range: [10, 90] -> [40, 60] g (narrowed)",
            "parameters.flour.choices: rye is retired", "parameters.flour.choices: maize is added",
        ]  # fmt: skip
        for proposal in campaign.ask(3):
            assert 40 <= proposal.settings["sugar"] <= 60 and proposal.settings["flour"] != "rye"
            assert proposal.source == "model"
            campaign.tell(proposal.trial, {"yield": bake(proposal.settings)})
        assert "left out" not in campaign.state.trials[9].proposal.model, "what was made of rye teaches on"
        for wrong in (narrow, narrow | {"remake": 2}, CAKE | {"campaign": "pie"}):
            with pytest.raises(SpecError, match=r"nothing is another|may not be amended"):
                campaign.amend(wrong)
        nine = campaign.ask(1)[0].settings
    if run is not None:
        with pytest.raises(SpecError, match="labloop amend"):
            cake(run)
        with labloop.Campaign(narrow, run=run, planner="process") as again:
            assert again.state.trials[10].settings == nine
            assert again.ask(1)[0].settings["flour"] in ("wheat", "spelt", "maize")
