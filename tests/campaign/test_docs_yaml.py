"""docs/yaml.md: every example is read by the models, and every key of the models stands in it."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from labloop.campaign import conduct, grammar, lab_spec, limits, outcomes, parameters
from labloop.campaign.analysis import ANALYSES
from labloop.campaign.models import keys_of
from labloop.campaign.reading import read_text
from labloop.campaign.spec import lab_from_dict, spec_from_dict
from labloop.campaign.steps import INTERRUPTED, STAGE_KEYS

PAGE = (Path(__file__).parents[2] / "docs" / "yaml.md").read_text()
BLOCKS = [(lab == "lab", text) for lab, text in re.findall(r"```yaml ?(\w*)\n(.*?)```", PAGE, re.DOTALL)]
MODELS: list[type[BaseModel]] = [
    grammar.CampaignSpec, conduct.Initial, conduct.Design, conduct.Budget, conduct.StopWhen, conduct.Every,
    conduct.Pause, grammar.Candidates, lab_spec.LabSpec, lab_spec.InstrumentSpec, limits.LimitSpec,
    outcomes.OutcomeSpec, outcomes.Target, parameters.Range, parameters.Choices, parameters.Molecules,
    parameters.Mixture,
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(BLOCKS)))
def test_each_example_is_read(at: int, folder: Path) -> None:
    lab, text = BLOCKS[at]
    (folder / "solvents.csv").write_text("name,dipole,logP\nDMF,3.8,-1.0\nwater,1.85,-1.4\n")
    written: dict[str, Any] = read_text(text, "docs/yaml.md").value
    if lab:
        assert lab_from_dict(written, folder).instruments
        return
    written.setdefault("campaign", "example")
    written.setdefault("parameters", {"x": {"range": [1, 10], "unit": "mg"}})
    source = "told" if "trial" not in written else "spectrum"
    written.setdefault("outcomes", {"height": {"goal": "maximize", "from": source, "analysis": "peak_height"}}
                       if source == "spectrum" else {"height": {"goal": "maximize", "from": source}})  # fmt: skip
    spec = spec_from_dict(written, folder)
    assert spec_from_dict(spec.dump(), folder).parameters == spec.parameters


def test_there_are_examples_of_both_files() -> None:
    assert sum(lab for lab, _ in BLOCKS) >= 2 and len(BLOCKS) >= 10


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_stands_in_the_page(model: type[BaseModel]) -> None:
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    code = " ".join(re.findall(r"`([^`]+)`", prose)) + " ".join(text for _, text in BLOCKS)
    missing = [key for key in keys_of(model) if re.search(rf"\b{key}\b", code) is None]
    assert missing in ([], ["rows"])  # rows are what a table was read into, and no key


def test_every_word_of_steps_and_analyses_stands_in_the_page() -> None:
    for word in (*INTERRUPTED, *STAGE_KEYS, *ANALYSES):
        assert f"`{word}" in PAGE or f"{word}:" in PAGE, word
