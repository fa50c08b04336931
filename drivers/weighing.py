"""What drivers of balances share: how a stable weight is waited for, and which balance is meant.

A balance moves nothing and changes no matter, so none of its actions is an act: a weighing, a tare or a zero that was
cut short is simply done again. A weight counts when the balance calls it stable twice in a row and says nearly the
same, for a line without a checksum turns a digit now and then.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from labloop.bench import (
    Action,
    Driver,
    Exchange,
    Expected,
    InstrumentFault,
    ProtocolError,
    Setting,
    Signal,
    SpecError,
    Value,
    refuse_unknown,
    shown,
    written,
)

L = TypeVar("L")

# Between two looks at a pan that has not settled.
LOOK_S = 0.5
# How long a balance takes to settle on a quiet table; only for the expected time of a step.
SETTLES_S = 4.0
# Two stable weights in a row may differ by their last digits; so may zero after a tare. More was damaged, or moves.
AGREE_DIGITS = 5.0
# With one answer in ten damaged, five unlike pairs in a row happen once in some thousand times.
AGREE_TRIES, AGREE_ALIKE = 5, 3
# A pan that has not settled moves by less than this part of its weight (or this many grams) between two answers.
MOVES, MOVES_G = 0.1, 1.0

WITHIN = Setting(
    name="within", argument="within_s", unit="s", low=1.0, high=600.0, default=60.0, required=False,
    doc="how long the weight may take to be stable",
)  # fmt: skip
MASS = Signal(name="mass", unit="g", doc="net: above zero and tare")
GRAMS = {"g": 1.0, "mg": 1e-3, "kg": 1e3}
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)\.\d+")


class Balance(Driver):
    """What balances of all makers are alike in. Options: ``model`` (what its name must begin with).

    ``_begun``: what was begun last, and how long it may take to be stable.
    """

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._model = _model_of(options, type(self).__name__)
        self._begun, self._within_s = "", 0.0

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions. Raises SpecError for a model that is none."""
        _model_of(options, cls.__name__)
        return super().declare(options)

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """As long as the pan takes to settle on a quiet table."""
        return Expected(duration_s=min(SETTLES_S, float(values["within_s"])))

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """A balance moves nothing."""
        return "nothing to be made safe: a balance moves nothing"

    @classmethod
    def numbered(cls, options: Mapping[str, Any]) -> bool:
        """Balances tell one."""
        return True

    def _refuse_another(self, model: str) -> None:
        """Raise InstrumentFault when another model answers than the lab file asks for."""
        if not model.startswith(self._model):
            raise InstrumentFault(f"balance {model!r} answers where {self._model!r} was expected", "identity")


def _model_of(options: Mapping[str, Any], driver: str) -> str:
    """The model that the lab file asks for ("": any). Raises SpecError for options that make no sense."""
    refuse_unknown(options, ("model",), driver)
    model = options.get("model", "")
    if "model" in options and not (isinstance(model, str) and model):
        raise SpecError(f"model = {model!r} is no name; it stands on the balance's plate, as MSE1203S or XS205DU")
    return str(model)


def weight_number(text: str, line: bytes) -> tuple[float, float]:
    """A weight as it is written, and one unit of its last digit. Raises ProtocolError for what no balance writes.

    A lost or added character mostly leaves a number that none writes: without a digit before its point, or with a 0.
    """
    if not NUMBER.fullmatch(text):
        raise ProtocolError(f"{shown(line)}: {text!r} is not how a balance writes a number")
    return float(text), 10.0 ** -len(text.partition(".")[2])


def alike(first_g: float, again_g: float, digit_g: float) -> bool:
    """Whether two stable weights in a row confirm each other."""
    return abs(again_g - first_g) <= AGREE_DIGITS * digit_g


def confirmed(look: Callable[[], L], same: Callable[[L, L], bool]) -> L:
    """What three looks in a row say nearly alike. Raises ProtocolError when they go on being unlike."""
    said, as_before = look(), 1
    for _ in range(AGREE_TRIES + AGREE_ALIKE):
        before, said = said, look()
        as_before = as_before + 1 if same(before, said) else 1
        if as_before == AGREE_ALIKE:
            return said
    raise ProtocolError("the pan reads differently each time")


def unstable(within_s: float, last_g: float | None) -> InstrumentFault:
    """The complaint about a pan that does not settle."""
    at = f" (last about {written(last_g, 'g')})" if last_g is not None else ""
    return InstrumentFault(
        f"not stable within {written(within_s, 's')}{at}: draught, vibration, or the pan is touched", kind="unstable"
    )
