"""The hidden response: a smooth function fitted to a table of published measurements, with their scatter.

The model is kriging with a constant mean: f(x) = m + k(x)' a, k a Matern-5/2 kernel with one length scale for each
input (inputs scaled to the table's own span), plus a nugget, because neighbouring conditions of a real table disagree.
Length scales, variance and nugget maximize the leave-one-out predictive likelihood (Sundararajan and Keerthi, Neural
Computation 13, 1103 (2001)); that search is done once and kept beside the table as ``<table>.fit.json``:

    python -m labloop.simulation.response campaigns/agnp.csv --inputs q_agno3 ... --output spectrum_loss

Without that file a shorter search runs at load. Far from all data f returns to m, so no optimum is invented there,
and nowhere does it pass the table's best and worst by more than the nugget's standard deviation.

Scatter between replicates comes from ``<table>.raw.csv`` (each measurement on its own row, ``row_id`` joins): the log
of each condition's standard deviation, kriged with the same length scales and kept between the least and the greatest
that was seen. Without that file no scatter is added.
"""

import argparse
import csv
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A fit at load must not delay a bench: 200 rows cost about 2 ms a likelihood. The shipped tables have their fit.json.
ROWS_AT_LOAD = 200
SWEEPS_AT_LOAD = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """``scales``: in units of each input's span. ``variance`` and ``nugget``: of the output, squared units."""

    scales: tuple[float, ...]
    variance: float
    nugget: float


class Response:
    """f and its replicate scatter at a point {input: value}."""

    def __init__(
        self, inputs: Sequence[str], x: Floats, y: Floats, fit: Fit, scatter: Mapping[int, float] | None = None
    ) -> None:
        """x: n x d, as in the table. y: n. scatter: {row: standard deviation of its replicates}."""
        self.inputs = tuple(inputs)
        self.fit = fit
        self._low = x.min(axis=0)
        span = x.max(axis=0) - self._low
        self._span = np.where(span > 0, span, 1.0)
        self._u = (x - self._low) / self._span
        self._mean, self._weights, _ = _krige(self._u, y, fit)
        margin = float(np.sqrt(fit.nugget))
        self.lowest, self.highest = float(y.min()) - margin, float(y.max()) + margin
        rows = sorted(row for row, sd in (scatter or {}).items() if sd > 0)
        self._noisy = self._u[rows]
        self._log_sd = np.log([(scatter or {})[row] for row in rows]) if rows else np.zeros(0)
        spread = float(np.var(self._log_sd)) if rows else 0.0
        # A tenth: with it the published silver table's log deviations are predicted with a leave-one-out R2 of 0.75.
        self._sd_fit = Fit(scales=fit.scales, variance=spread, nugget=max(0.1 * spread, 1e-9))
        if rows:
            self._sd_mean, self._sd_weights, _ = _krige(self._noisy, self._log_sd, self._sd_fit)

    def value(self, point: Mapping[str, float]) -> float:
        """f at a point; every input must be there."""
        k = _kernel(self._unit(point)[None], self._u, self.fit)[0]
        return float(np.clip(self._mean + k @ self._weights, self.lowest, self.highest))

    def scatter(self, point: Mapping[str, float]) -> float:
        """Standard deviation between replicates at a point."""
        if not len(self._log_sd):
            return 0.0
        k = _kernel(self._unit(point)[None], self._noisy, self._sd_fit)[0]
        log_sd = float(self._sd_mean + k @ self._sd_weights)
        return float(np.exp(np.clip(log_sd, self._log_sd.min(), self._log_sd.max())))

    def _unit(self, point: Mapping[str, float]) -> Floats:
        values = np.array([point[name] for name in self.inputs], dtype=np.float64)
        return np.asarray((values - self._low) / self._span, dtype=np.float64)


def load_response(
    table: Path | str,
    inputs: Sequence[str],
    output: str,
    *,
    raw: Path | str | None = None,
    fit: Path | str | None = None,
) -> Response:
    """The response behind a table. ``raw`` and ``fit`` are looked for beside it when not named.

    Raises ValueError with the file's name when columns are missing or hold words.
    """
    table = Path(table)
    raw_path = Path(raw) if raw is not None else table.with_suffix(".raw.csv")
    fit_path = Path(fit) if fit is not None else table.with_suffix(".fit.json")
    x, y, ids = read_table(table, inputs, output)
    found = _read_fit(fit_path, inputs, output) if fit is not None or fit_path.exists() else None
    if found is None:
        found = search(x, y, rows=ROWS_AT_LOAD, sweeps=SWEEPS_AT_LOAD)
    scatter = _read_scatter(raw_path, output, ids) if raw is not None or raw_path.exists() else None
    return Response(inputs, x, y, found, scatter)


def leave_one_out(x: Floats, y: Floats, fit: Fit) -> tuple[Floats, Floats]:
    """Errors and variances of predicting each row from all others (the mean refitted): n and n."""
    _, weights, inverse = _krige(_scaled(x), y, fit)
    variances = 1.0 / np.diag(inverse)
    return weights * variances, variances


def search(x: Floats, y: Floats, *, rows: int = 1000, sweeps: int = 40) -> Fit:
    """The fit with the best leave-one-out predictive likelihood, by coordinate search from a middling start."""
    if len(y) > rows:
        keep = np.linspace(0, len(y) - 1, rows).astype(int)
        x, y = x[keep], y[keep]
    spread = float(np.var(y)) or 1.0

    def as_fit(p: Floats) -> Fit:
        return Fit(scales=tuple(np.exp(p[:-2])), variance=spread * float(np.exp(p[-2])), nugget=float(np.exp(p[-1])))

    def loss(p: Floats) -> float:
        errors, variances = leave_one_out(x, y, as_fit(p))
        # The weak pull on the scales towards one span keeps an input that says nothing from running off to infinity.
        return float(0.5 * np.mean(np.log(variances) + errors**2 / variances) + 1e-3 * np.sum(p[:-2] ** 2))

    p = np.concatenate([np.zeros(x.shape[1]), [0.5, np.log(0.05 * spread)]])
    low = np.concatenate([np.full(x.shape[1], -2.5), [-3.0, np.log(1e-5 * spread)]])
    high = np.concatenate([np.full(x.shape[1], 2.5), [3.0, np.log(spread)]])
    best, step = loss(p), np.full(len(p), 0.8)
    for _ in range(sweeps):
        for i in range(len(p)):
            for sign in (1.0, -1.0):
                tried = p.copy()
                tried[i] = np.clip(p[i] + sign * step[i], low[i], high[i])
                if (now := loss(tried)) < best - 1e-9:
                    p, best, step[i] = tried, now, step[i] * 1.3
                    break
            else:
                step[i] *= 0.5
        if step.max() < 0.01:
            break
    return as_fit(p)


def _scaled(x: Floats) -> Floats:
    span = x.max(axis=0) - x.min(axis=0)
    return np.asarray((x - x.min(axis=0)) / np.where(span > 0, span, 1.0), dtype=np.float64)


def _kernel(a: Floats, b: Floats, fit: Fit) -> Floats:
    """Matern 5/2. a: n x d, b: m x d, both in units of the span -> n x m."""
    squares = (((a[:, None, :] - b[None, :, :]) / np.array(fit.scales)) ** 2).sum(axis=-1)
    r = np.sqrt(5.0 * squares)
    return np.asarray(fit.variance * (1.0 + r + r**2 / 3.0) * np.exp(-r), dtype=np.float64)


def _krige(u: Floats, y: Floats, fit: Fit) -> tuple[float, Floats, Floats]:
    """Generalized-least-squares mean, weights of the rows, and the inverse covariance."""
    inverse: Floats = np.linalg.inv(_kernel(u, u, fit) + fit.nugget * np.eye(len(y))).astype(np.float64)
    column = inverse.sum(axis=0)
    mean = float(column @ y / column.sum())
    return mean, inverse @ (y - mean), inverse


def read_table(table: Path, inputs: Sequence[str], output: str) -> tuple[Floats, Floats, list[str]]:
    """Inputs (n x d), outputs (n) and names of the rows. Raises ValueError with the file's name, as load_response."""
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if len(rows) < 3:
        raise ValueError(f"{table}: {len(rows)} rows are too few to fit a response to")
    missing = [name for name in (*inputs, output) if name not in rows[0]]
    if missing:
        raise ValueError(f"{table}: no column {', '.join(missing)}; its columns are {', '.join(rows[0])}")
    try:
        x = np.array([[float(row[name]) for name in inputs] for row in rows])
        y = np.array([float(row[output]) for row in rows])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{table}: inputs and output of a response must be numbers ({error})") from None
    return x, y, [row.get("row_id", str(n)) for n, row in enumerate(rows)]


def _read_scatter(raw: Path, output: str, ids: list[str]) -> dict[int, float]:
    place = {row_id: n for n, row_id in enumerate(ids)}
    groups: dict[int, list[float]] = defaultdict(list)
    with open(raw, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if missing := [name for name in ("row_id", output) if name not in (rows.fieldnames or ())]:
            raise ValueError(f"{raw}: no column {', '.join(missing)}; replicates need row_id and {output}")
        for row in rows:
            if row["row_id"] in place:
                groups[place[row["row_id"]]].append(float(row[output]))
    # Two or three replicates say next to nothing about their own spread.
    return {n: float(np.std(values, ddof=1)) for n, values in groups.items() if len(values) >= 3}


def _read_fit(path: Path, inputs: Sequence[str], output: str) -> Fit | None:
    kept = json.loads(path.read_text(encoding="utf-8"))
    if kept["inputs"] != list(inputs) or kept["output"] != output:
        return None
    return Fit(scales=tuple(kept["scales"]), variance=kept["variance"], nugget=kept["nugget"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m labloop.simulation.response", description="Fit a table once.")
    parser.add_argument("table", type=Path)
    parser.add_argument("--inputs", nargs="+", required=True)
    parser.add_argument("--output", required=True)
    given = parser.parse_args(arguments)
    x, y, _ = read_table(given.table, given.inputs, given.output)
    fit = search(x, y)
    errors, _ = leave_one_out(x, y, fit)
    kept = {
        "inputs": given.inputs,
        "output": given.output,
        "scales": [round(scale, 6) for scale in fit.scales],
        "variance": round(fit.variance, 9),
        "nugget": round(fit.nugget, 9),
        "loo_r2": round(1.0 - float(np.mean(errors**2) / np.var(y)), 4),
        "loo_rmse": round(float(np.sqrt(np.mean(errors**2))), 5),
    }
    given.table.with_suffix(".fit.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(kept) + "\n")


if __name__ == "__main__":
    main()
