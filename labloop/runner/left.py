"""Whose bench is left: had by a run's runner, or by whoever was to make it safe in its place, and not given back.

    the lease names it        its runner, whether it lives or hangs; or whoever died over making the bench safe, or
                              could not
    the lease's file is gone  nobody knows, so the bench counts as left: unless the run's own facts say that nothing was
                              ever touched, or that all was made safe and nothing begun since

Where the lab's folder is not to be found (moved, or ``origin.json`` is lost) the run's own facts are asked too: where a
run ended well there is nothing to look for.
"""

from pathlib import Path

from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.state import CampaignState, fold
from labloop.journal import Reader, StoreDamaged, StoreError, guard_left_unsafe, presence
from labloop.journal.locks import Holder
from labloop.journal.origin import lab_folder

from .lease import FILE, Leaseholder, holder


def left_by(run: Path) -> Leaseholder | None:
    """Who had the bench last for the run in a folder and never gave it back; None: it is nobody's, or somebody else's.

    Raises StoreError where nobody can tell, so that it counts as left; SpecError where nobody knows which bench it is.
    """
    try:
        bench = lab_folder(run)
        held = holder(bench)
    except SpecError:
        if ended_well(run):
            return None
        raise
    if held is None:
        if ended_well(run):
            return None
        raise StoreDamaged(f"{bench / FILE}: is gone, so that nobody can say who has the bench.")
    return held if not held.released and _is_of(held, run) else None


def known_safe(run: Path) -> bool:
    """Whether it is known that a run left its bench safe, and that nobody has had it since."""
    try:
        held = holder(lab_folder(run))
    except LabloopError:
        held = None
    return ended_well(run) if held is None else held.released and held.is_for(run)


def ended_well(run: Path) -> bool:
    """Whether the facts say that a run touched nothing, or that all was made safe and nothing was begun since."""
    try:
        with Reader(run / "journal.db") as journal:
            state = fold(journal.records())
        return state.mode != "live" or not state.identities or state.safe or guard_left_unsafe(run) == 0
    except Exception:  # noqa: BLE001 no damage, of whatever kind, may keep an abort from the bench
        return False


def unsafe(state: CampaignState) -> bool:
    """Whether a run that ends leaves a bench of which nobody has written down that it is safe."""
    begun = bool(state.steps) and not state.safe  # what was done then could not be written down
    return state.mode == "live" and (bool(state.unsafe) or begun)


def _is_of(held: Leaseholder, run: Path) -> bool:
    runner = _last_runner(run)
    if runner is None:  # what cannot be read of it says nothing against what the lease says
        return held.is_for(run)
    return held.is_of(run, runner.pid, runner.started) or (held.is_for(run) and not held.lives)


def _last_runner(run: Path) -> Holder | None:
    try:
        return presence.last_runner(run)
    except StoreError:
        return None
