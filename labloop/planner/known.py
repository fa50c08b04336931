"""What is known when a proposal is asked for, as arrays."""

from dataclasses import dataclass

from .encoding import Array


@dataclass(frozen=True, slots=True)
class Observations:
    """One outcome's data. points: n x d; values: n; variances: n, of the measurement alone, 0 where not given."""

    points: Array
    values: Array
    variances: Array


@dataclass(frozen=True, slots=True)
class Known:
    """What has happened. observed: n x d; pending: p x d; worked, failed: where trials ended one way or the other."""

    observed: Array
    pending: Array
    worked: Array
    failed: Array
