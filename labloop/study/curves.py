"""The picture of a backtest: how good the best so far was after each evaluation, by strategy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .emulator import in_words

# Okabe & Ito's colours, told apart by every kind of eye, and dashes for those who print in grey.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
WHAT: Final = "lines: medians; bands: the middle half"
DASHES: Final = ("-", "--", "-.", ":")


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Write the curves of ``Backtest.document()`` as PNG: medians, and the middle half of the courses as a band."""
    front = document["goal"] == "hypervolume"
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6.4, 4.0), dpi=300, layout="constrained")
        axes = figure.add_subplot()
        for at, (name, figures) in enumerate(document["strategies"].items()):
            if not figures["courses"]:
                continue
            colour, dash = COLOURS[at % len(COLOURS)], DASHES[at % len(DASHES)]
            curve = figures["curve"]
            trials = range(1, len(curve["50"]) + 1)
            axes.fill_between(trials, curve["25"], curve["75"], color=colour, alpha=0.18, linewidth=0)
            axes.plot(trials, curve["50"], dash, color=colour, label=f"{name} ({figures['courses']} courses)")
        axes.axvline(document["initial"], color="0.6", linewidth=0.8)
        axes.annotate(
            "first ones, by chance", (document["initial"], 0.02), xytext=(-4, 0), textcoords="offset points",
            rotation=90, ha="right", va="bottom", color="0.45", fontsize=7,
        )  # fmt: skip
        axes.set_xlim(1, document["trials"])
        axes.set_ylim(0.0, 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("evaluations")
        whose, best = ("table's", "its best") if document["emulator"] is None else ("space's", "emulator's optimum")
        axes.set_ylabel(f"share of the {whose} hypervolume" if front else f"best so far (0: {whose} median, 1: {best})")
        title = f"{document['campaign']} on {document['table']['file']}"
        if document["emulator"] is not None:
            title = f"{title}, by an emulator\n{in_words(document['emulator'])}"
        axes.set_title(title, loc="left", fontsize=9)
        axes.plot([], [], " ", label=WHAT)
        axes.legend(loc="lower right", frameon=False)
        figure.savefig(path)
