"""Pictures of what the planner believes, as numbers: what one may ask for, and what comes back. No numpy, no drawing.

    slices        each outcome along each parameter, everything else as in one trial
    map           an outcome over two parameters, everything else as in one trial
    importance    which parameters move an outcome
    parity        each trial as the others foretell it, beside what was measured
    front         two wishes against each other, and the hypervolume's course
    acquisition   what the next proposal is chosen by, over two parameters (over one, where there is no other)

One JSON document a line. Numbers are in the outcomes' and the parameters' own units; NaN and infinities are None.
"""

from typing import Final, Literal

import msgspec

from labloop.campaign.events import Value

Kind = Literal["slices", "map", "importance", "parity", "front", "acquisition"]
KINDS: Final[tuple[Kind, ...]] = ("slices", "map", "importance", "parity", "front", "acquisition")


class Want(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``kind`` of figure, through trial ``through`` (None: the best), over ``pair`` (empty: what matters most)."""

    number: int
    kind: Kind
    through: int | None = None
    pair: tuple[str, ...] = ()


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter: a range, or ``choices``. ``at``: where it was looked at, in its unit or by the choice's place."""

    name: str
    unit: str
    at: list[float]
    log: bool = False
    choices: list[str] = []
    here: float | None = None  # the trial's own; None: the parameter does not count there


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome, or the acquisition (which has no sd): along the axis, or row by row over two."""

    mean: list[float | None]
    sd: list[float]


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Everything along one parameter. ``inside``: where a trial may be; ``words``: why there is nothing to see."""

    axis: Axis
    curves: dict[str, Curve]
    inside: list[bool]
    words: str = ""


class Slices(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """``shares``: {outcome: {parameter: importance}}."""

    slices: list[Slice]
    shares: dict[str, dict[str, float]]


class Map(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Over ``across`` and ``up``, row by row from the lowest of ``up``. ``tried``: (trial, across, up, state)."""

    across: Axis
    up: Axis
    curves: dict[str, Curve]
    inside: list[bool]
    tried: list[tuple[int, float, float, str]]


class Importance(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """{outcome: {parameter: share}}, largest first; each outcome's shares add up to 1."""

    shares: dict[str, dict[str, float]]


class Foretold(msgspec.Struct, frozen=True):
    """A trial as all others foretell it; ``sd`` is that of a measurement, noise included."""

    trial: int
    measured: float
    mean: float
    sd: float


class Parity(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """{outcome: trials}; ``words``: {outcome: why there are none}."""

    foretold: dict[str, list[Foretold]]
    words: dict[str, str] = {}


class Front(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """``values``: of each wish, by trial. ``course``: (trial, hypervolume after it), over ``reference``.

    kept: which keep every limit; first: which are of the front.
    """

    wishes: list[str]
    trials: list[int]
    values: list[list[float]]
    kept: list[bool]
    first: list[bool]
    reference: list[float]
    course: list[tuple[int, float]]


class Figure(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answer to ``number``. ``seq``: the last fact it rests on; ``model``: who says so, ``trials``: from how many.

    through: the trial that everything else is as in (None: of no trial); measured: what was measured there.
    """

    number: int
    kind: Kind
    seq: int
    body: Slices | Map | Importance | Parity | Front
    model: str = ""
    trials: int = 0
    known: int = 0
    through: int | None = None
    is_best: bool = False
    settings: dict[str, Value] = {}
    measured: dict[str, float] = {}
    notes: list[str] = []
    took_s: float = 0.0


class NoFigure(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why there is no figure."""

    number: int
    words: str
    seq: int = 0


_ENCODER: Final = msgspec.json.Encoder()
_WANT: Final = msgspec.json.Decoder(Want)
_ANSWER: Final[msgspec.json.Decoder[Figure | NoFigure]] = msgspec.json.Decoder(Figure | NoFigure)


def pack(message: Want | Figure | NoFigure) -> bytes:
    """One line, newline included."""
    return _ENCODER.encode(message) + b"\n"


def read_want(line: bytes) -> Want:
    """What was asked. Raises msgspec.DecodeError."""
    return _WANT.decode(line)


def read_answer(line: bytes) -> Figure | NoFigure:
    """What came back. Raises msgspec.DecodeError."""
    return _ANSWER.decode(line)
