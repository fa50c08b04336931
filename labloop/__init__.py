"""labloop: a closed-loop Bayesian-optimization laboratory controller.

The public names are given lazily: ``import labloop`` costs milliseconds and imports neither torch nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Campaign as Campaign
    from .api import run as run

__version__ = "0.1.0"
__all__ = ["Campaign", "run", "__version__"]


def __getattr__(name: str) -> Any:
    if name in ("Campaign", "run"):
        return getattr(import_module("labloop.api"), name)
    raise AttributeError(f"module 'labloop' has no attribute {name!r}")
