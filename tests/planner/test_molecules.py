"""Molecules and described choices: alike ones tell of each other, and a SMILES that is none is refused."""

import numpy as np
import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.spec import spec_from_dict
from labloop.planner import molecules, torch_models
from labloop.planner.known import Observations
from labloop.planner.problem import read_problem
from labloop.planner.surrogate import fit_all

SOLVENTS = ("CO", "CCO", "CCCO", "CC#N", "CCC#N", "CCCC#N")  # three alcohols, three nitriles


def problem(parameter: dict, tmp_path) -> object:
    campaign = {
        "labloop": 1, "campaign": "c", "parameters": {"solvent": parameter, "t": {"range": [0, 1]}},
        "outcomes": {"y": {"goal": "maximize"}}, "design": {"initial": {"method": "sobol", "trials": 3}, "seed": 1},
        "budget": {"trials": 10},
    }  # fmt: skip
    return read_problem(spec_from_dict(campaign, tmp_path))


def test_like_molecules_are_less_unlike() -> None:
    groups, descriptors = molecules.unlike(SOLVENTS)
    for matrix in (groups, descriptors):
        assert matrix == pytest.approx(matrix.T) and np.diag(matrix) == pytest.approx(0.0)
        assert matrix.sum() / 30 == pytest.approx(1.0)
        assert matrix[1, 2] < matrix[1, 4]  # ethanol is nearer to propanol than to propionitrile


@pytest.mark.parametrize("kind", ["molecules", "descriptors"])
def test_what_is_described_is_foretold_from_its_like(kind: str, tmp_path) -> None:
    written = {
        "molecules": {"molecules": list(SOLVENTS)},
        "descriptors": {
            "choices": [{"name": name, "polarity": 1.0 if "N" in name else 0.0} for name in SOLVENTS],
            "descriptors": ["polarity"],
        },
    }[kind]
    described = problem(written, tmp_path).encoding
    plain = problem({"choices": list(SOLVENTS)}, tmp_path).encoding
    seen = [0, 1, 3, 4]
    points = np.array([[level, t] for level in seen for t in (0.1, 0.5, 0.9)])
    y = np.where(points[:, 0] < 3, 1.0, -1.0) + 0.1 * points[:, 1]
    data = {"y": Observations(points, y, np.zeros(len(y)), np.arange(len(y)))}
    unseen = np.array([[2.0, 0.5], [5.0, 0.5]])
    by_likeness = fit_all(data, described, ["matern"])
    mean = by_likeness.predict(unseen)[0][:, 0]
    assert mean[0] > 0.2 and mean[1] < -0.2
    assert np.ptp(fit_all(data, plain, ["matern"]).predict(unseen)[0]) < 0.1
    assert ("solvent by structure" if kind == "molecules" else "solvent by polarity") in by_likeness.words
    stock = torch_models.fit(data, described).predict(unseen)[0][:, 0]
    assert mean == pytest.approx(stock, abs=0.02)


def test_no_smiles_is_refused(tmp_path) -> None:
    with pytest.raises(SpecError, match=r"C1CC: RDKit cannot read this SMILES. Correct it"):
        problem({"molecules": ["CO", "C1CC"]}, tmp_path)


def test_without_rdkit_molecules_are_names_and_the_model_says_so(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(molecules, "is_known", lambda: False)
    encoding = problem({"molecules": list(SOLVENTS)}, tmp_path).encoding
    points = np.array([[0.0, 0.1], [1.0, 0.5], [2.0, 0.3]])
    words = fit_all({"y": Observations(points, points[:, 0], np.zeros(3), np.arange(3))}, encoding, ["matern"]).words
    assert "solvent by name alone (RDKit is not installed: pip install labloop[chem])" in words
