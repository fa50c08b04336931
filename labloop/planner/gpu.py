"""The pass over a large table on a GPU, where torch has one.

What comes of it only bounds scores (see pool.py): rows are scored, and the best chosen, by the same arithmetic as
without. So the answer is the same, and single precision is enough.
"""

import os
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .kernels import ROOT5, Array, Separable

Floats = NDArray[np.float32]
ELEMENTS = 1 << 27  # of one chunk's kernel matrix: half a gigabyte


@cache
def device() -> str:
    """The GPU's name in torch, or "". Where no driver is installed torch is not even imported."""
    drivers = [Path("/dev/nvidiactl"), Path(os.environ.get("SYSTEMROOT", "/"), "System32", "nvcuda.dll")]
    if not any(driver.exists() for driver in drivers):
        return ""
    return "cuda" if import_module("torch").cuda.is_available() else ""


def pass_over(
    kernel: Separable, theta: Array, x: Array, weights: Floats, rates: Floats, where: str
) -> Callable[[Array], tuple[Floats, Floats]]:
    """From rows, N x d, to k weights (N x m) and max_j k_j rates_j (N), worked out on ``where``; k: rows with x."""
    torch: Any = import_module("torch")
    torch.set_float32_matmul_precision("highest")  # rounding is bounded as that of float32, not of what is shorter

    def put(array: Any) -> Any:
        return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32), device=where)

    p = kernel.smooth
    scale = put(kernel.rates(theta))
    seen = put(kernel.features(x)) * scale
    middle = seen.mean(0)
    seen = seen - middle
    seen_squares = (seen * seen).sum(1)
    damps = [put(np.exp(-theta[p + at]) * d) for at, d in enumerate(kernel.unlike)]
    seen_labels = [torch.as_tensor(x[:, column].astype(np.int64), device=where) for column in kernel.labels]
    weights_there, rates_there = put(weights), put(rates)

    def cross(rows: Array) -> Any:
        here = put(kernel.features(rows)) * scale - middle
        squares = (here * here).sum(1)[:, None] + seen_squares - 2.0 * here @ seen.T
        squares.clamp_min_(0.0)
        if kernel.shape == "rbf":
            k = torch.exp(-0.5 * squares)
        else:
            s = ROOT5 * squares.sqrt_()
            k = (1.0 + s + s * s / 3.0) * torch.exp(-s)
        for column, damp, labels in zip(kernel.labels, damps, seen_labels, strict=True):
            mine = torch.as_tensor(rows[:, column].astype(np.int64), device=where)
            k *= torch.exp(-damp[mine][:, labels])
        return k

    def work(rows: Array) -> tuple[Floats, Floats]:
        each = max(ELEMENTS // max(len(x), 1), 1)
        both, told = [], []
        with torch.inference_mode():
            for start in range(0, len(rows), each):
                k = cross(rows[start : start + each])
                both.append((k @ weights_there).cpu().numpy())
                told.append((k * rates_there).amax(1).cpu().numpy())
        return np.concatenate(both), np.concatenate(told)

    return work
