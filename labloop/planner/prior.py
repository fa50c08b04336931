"""Where a person expects the optimum: a score is multiplied by that belief, which fades as trials are measured.

    log pi(x) * STRENGTH / n       (Hvarfner et al., piBO, ICLR 2022, arXiv:2204.11051), n: trials measured

    a number      -((u - centre)/width)^2 / 2 in the unit cube
    a choice      the log of its weight against the largest

A belief that is wrong costs trials and no more: after some dozens the data alone are heard.
"""

from dataclasses import dataclass

import numpy as np

from .encoding import Array, Encoding

STRENGTH = 10.0


@dataclass(frozen=True, slots=True)
class Prior:
    """Log beliefs, 0 at most. numbers: column, centre, width; choices: column, log weight of each index."""

    encoding: Encoding
    numbers: tuple[tuple[int, float, float], ...]
    choices: tuple[tuple[int, Array], ...]
    strength: float

    @property
    def words(self) -> str:
        """What it is called in a score's name."""
        return "expectation"

    def log(self, points: Array) -> Array:
        """N points, N x d."""
        return self.log_slopes(points)[0]

    def log_slopes(self, points: Array) -> tuple[Array, Array]:
        """The same, and its gradients by the point, N x d (zero in columns of choices)."""
        value, slope = np.zeros(len(points)), np.zeros(points.shape)
        counts = 1.0 - self._out(points)
        for column, centre, width in self.numbers:
            z = (points[:, column] - centre) / width * counts[:, column]
            value -= 0.5 * z**2
            slope[:, column] = -z / width
        for column, weights in self.choices:
            kind = self.encoding.columns[column]
            at = points[:, column] if kind.kind == "label" else kind.index(points[:, column])
            value += weights[at.astype(np.intp)] * counts[:, column]
        return self.strength * value, self.strength * slope

    def _out(self, points: Array) -> Array:
        """1 where a parameter has no value, and nothing can be expected of it."""
        conditions = self.encoding.presence.conditions
        return np.zeros(points.shape) if conditions is None else conditions.out(points).astype(float)


def prior_of(encoding: Encoding, measured: int) -> Prior | None:
    """What the columns say of it; None: nothing."""
    numbers, choices = [], []
    for at, column in enumerate(encoding.columns):
        if column.likely is not None and column.kind in ("real", "grid"):
            numbers.append((at, column.likely[0], column.likely[1]))
        elif column.likely is not None:
            weights = np.log(np.array([*column.likely, *([1.0] if column.optional else [])]))
            choices.append((at, weights - weights.max()))
    if not numbers and not choices:
        return None
    return Prior(encoding, tuple(numbers), tuple(choices), STRENGTH / max(measured, 1))


def expected(encoding: Encoding, point: Array) -> Array | None:
    """The point with every parameter that something is expected of where it is expected; None: nothing is."""
    if all(column.likely is None for column in encoding.columns):
        return None
    out = point.copy()
    for at, column in enumerate(encoding.columns):
        if column.likely is not None:
            is_number = column.kind in ("real", "grid")
            out[at] = column.likely[0] if is_number else column.level(int(np.argmax(column.likely)))
    return np.asarray(encoding.snap(out[None, :])[0])
