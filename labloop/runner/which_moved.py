"""Which one moved? Instruments on one line are told apart by address, and an address says nothing of who stands where.

Each instrument that can does the smallest thing that a person sees (its driver's ``nudge``), by hand and under the same
limits as any act; it is stopped, and the person says which one it was. One that heats, stirs, pumps or has its output
on already is somebody's, and is left alone: stop() would end that too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError

from . import by_hand
from .by_hand import HandBench

NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What one instrument will do to be seen."""

    instrument: str
    action: str
    settings: Mapping[str, e.Amount]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saw:
    """What became of one move. ``moved``: who moved, by the person's word ("": not asked, because ``failed``)."""

    instrument: str
    moved: str = ""
    failed: str = ""

    @property
    def right(self) -> bool:
        return self.moved == self.instrument


def moves(bench: HandBench) -> list[Move]:
    """The moves of a lab, in its order; instruments with nothing to see are left out."""
    found = []
    for name, station in bench.lab.instruments.items():
        nudge = station.declaration.driver.nudge(station.declaration.options)
        if nudge is not None:
            found.append(Move(instrument=name, action=nudge[0], settings=nudge[1]))
    return found


def walk(bench: HandBench, by: str, which: Callable[[Move], str]) -> list[Saw]:
    """Move each, stop it, and ask ``which`` one it was. What a limit or the stock forbids is left alone, and said.

    Raises as by_hand.act does for what else is wrong.
    """
    saw = []
    with by_hand.in_hand(bench) as (book, admission):
        for one in moves(bench):
            try:
                begun = by_hand.wish(bench, one.instrument, one.action, one.settings, f"{by}: which one moves?")
                ended = by_hand.do(bench, book, admission, begun, stop=True)
            except SpecError as error:
                saw.append(Saw(instrument=one.instrument, failed=str(error)))
                continue
            if ended.done:
                saw.append(Saw(instrument=one.instrument, moved=which(one)))
            else:
                saw.append(Saw(instrument=one.instrument, failed=ended.failed))
    return saw


def complaints(bench: HandBench, saw: list[Saw]) -> list[str]:
    """What is wrong, each with its place in the lab file and the way out."""
    found = []
    for one in saw:
        place = bench.lab.instruments[one.instrument].declaration.place
        if one.failed:
            found.append(f"{place}: {one.failed}")
        elif one.moved == NOTHING:
            found.append(f"{place}: nothing moved. Look at its power, its cable and its address")
        elif not one.right:
            found.append(f"{place}: {one.moved} moved. Exchange port and address of the two, or their names")
    return found
