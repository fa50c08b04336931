"""Arrays that are used again. A fit works out the same few matrices thirty times over, and fresh memory of a megabyte
costs the system more than ten passes over what is there (docs/benchmarks.md).
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Room:
    """Arrays by name, each as it was left. Whoever takes one that is in use overwrites it."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def array(self, name: str, like: Array, *shape: int) -> Array:
        """The array of this name, with anything in it, of the shape (by default) and the precision of another."""
        shape = shape or like.shape
        found = self._arrays.get(name)
        if found is None or found.shape != shape or found.dtype != like.dtype:
            found = self._arrays[name] = np.empty(shape, dtype=like.dtype)
        return found
