"""The mind: from what is known to what to try next. Only here is torch imported, and only when BoTorch is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparing import Pair as Pair
    from .comparing import worth_comparing as worth_comparing
    from .errors import NothingLeftError as NothingLeftError
    from .errors import PlannerError as PlannerError
    from .inline import InlinePlanner as InlinePlanner
    from .problem import propose as propose
    from .process import PlannerProcess as PlannerProcess
    from .proposal import Proposal as Proposal

_HOMES = {
    "InlinePlanner": "inline",
    "NothingLeftError": "errors",
    "Pair": "comparing",
    "PlannerError": "errors",
    "PlannerProcess": "process",
    "Proposal": "proposal",
    "propose": "problem",
    "worth_comparing": "comparing",
}
__all__ = [
    "InlinePlanner", "NothingLeftError", "Pair", "PlannerError", "PlannerProcess", "Proposal", "propose",
    "worth_comparing",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
