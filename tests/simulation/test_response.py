"""The fitted response: good on the published table, honest away from it, the same for any table."""

import json
from pathlib import Path

import numpy as np
import pytest

from labloop.simulation.response import Fit, Response, leave_one_out, load_response, main, search

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "campaigns" / "agnp.csv"
INPUTS = ["q_agno3", "q_pva", "q_tsc", "q_seed", "q_tot"]
LOW = np.array([4.53, 10.0, 0.5, 0.5, 200.0])
HIGH = np.array([42.81, 40.0, 30.5, 19.5, 983.0])


@pytest.fixture(scope="module")
def silver() -> Response:
    return load_response(TABLE, INPUTS, "spectrum_loss")


@pytest.fixture(scope="module")
def anywhere(silver: Response) -> np.ndarray:
    """The response at 4000 points spread over the quickstart's space."""
    rng = np.random.default_rng(0)
    points = LOW + rng.random((6000, 5)) * (HIGH - LOW)
    points = points[points[:, :4].sum(axis=1) <= 95.0][:4000]
    return np.array([silver.value(dict(zip(INPUTS, point, strict=True))) for point in points])


def published() -> tuple[np.ndarray, np.ndarray]:
    data = np.genfromtxt(TABLE, delimiter=",", names=True)
    return np.column_stack([data[name] for name in INPUTS]), data["spectrum_loss"]


def test_it_predicts_rows_it_has_not_seen(silver: Response) -> None:
    x, y = published()
    errors, _ = leave_one_out(x, y, silver.fit)
    assert 1 - np.mean(errors**2) / np.var(y) > 0.94


def test_the_best_tenth_can_be_reached_but_chance_rarely_does(anywhere: np.ndarray) -> None:
    _, y = published()
    hits = float(np.mean(anywhere < np.quantile(y, 0.1)))
    assert 0.005 < hits < 0.06
    assert anywhere.min() < np.quantile(y, 0.05)


def test_no_optimum_is_invented(silver: Response, anywhere: np.ndarray) -> None:
    _, y = published()
    margin = np.sqrt(silver.fit.nugget)
    assert margin < 0.04
    assert anywhere.min() > y.min() - margin
    far = dict.fromkeys(INPUTS, 1e6)
    assert y.mean() < silver.value(far) < y.max()


def test_scatter_is_that_of_the_replicates(silver: Response) -> None:
    x, y = published()
    for row, seen in ((int(np.argsort(y)[1]), 0.0085), (int(np.argmin(y)), 0.032)):
        assert silver.scatter(dict(zip(INPUTS, x[row], strict=True))) == pytest.approx(seen, rel=0.6)


def write(folder: Path, lines: list[str]) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_any_table_without_fit_or_replicates(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.random((60, 2)) * [100.0, 2.0]
    y = 50.0 + 30.0 * np.sin(x[:, 0] / 20.0) + 5.0 * x[:, 1]
    table = write(tmp_path, ["a,b,yield", *(f"{p[0]},{p[1]},{v}" for p, v in zip(x, y, strict=True))])
    found = load_response(table, ["a", "b"], "yield")
    assert found.value({"a": 30.0, "b": 1.0}) == pytest.approx(55.0 + 30.0 * np.sin(1.5), abs=1.0)
    assert found.scatter({"a": 30.0, "b": 1.0}) == 0.0


def test_the_fit_kept_beside_a_table_is_used_only_for_its_own_columns(tmp_path: Path) -> None:
    table = write(tmp_path, ["a,b,y", *(f"{n},{n * n % 7},{n % 5}" for n in range(20))])
    main([str(table), "--inputs", "a", "b", "--output", "y"])
    kept = json.loads((tmp_path / "table.fit.json").read_text())
    assert load_response(table, ["a", "b"], "y").fit.scales == tuple(kept["scales"])
    assert load_response(table, ["a"], "y").fit.scales != tuple(kept["scales"])


@pytest.mark.parametrize(
    ("lines", "inputs", "complaint"),
    [
        (["a,y", "1,2"], ["a"], "1 rows are too few"),
        (["a,y", "1,2", "2,3", "3,4"], ["b"], "no column b; its columns are a, y"),
        (["a,y", "1,2", "2,3", "DMF,4"], ["a"], "must be numbers"),
    ],
)
def test_complaints_name_the_table(tmp_path: Path, lines: list[str], inputs: list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        load_response(write(tmp_path, lines), inputs, "y")
    assert "table.csv" in str(caught.value)


def test_an_input_that_says_nothing_gets_a_long_scale() -> None:
    x = np.random.default_rng(2).random((80, 2))
    fit = search(x, np.sin(6 * x[:, 0]))
    assert fit.scales[1] > 3 * fit.scales[0]


def test_a_constant_table_is_a_constant() -> None:
    x = np.random.default_rng(3).random((10, 2))
    found = Response(["a", "b"], x, np.full(10, 2.5), Fit(scales=(1.0, 1.0), variance=1.0, nugget=0.01))
    assert found.value({"a": 0.5, "b": 9.0}) == pytest.approx(2.5)
