"""What was done by hand on a run's bench while the run stood still, and the samples that stood there meanwhile.

Nobody but a person knows whether a sample is still what it was: whoever takes the run up says so, or has it cleaned
away. Settings need no question: everything is configured at every start, and ``setup`` runs again.
"""

from collections.abc import Iterable
from pathlib import Path

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.campaign.text import in_shell

from .book import BenchBook
from .recovery import made_nothing


def by_hand(
    book: BenchBook, run: str, path: Path, records: Iterable[e.Record], state: s.CampaignState, by: str, kept: str
) -> list[e.ByHandSeen]:
    """The fact of what was done by hand since ``run`` had the bench; none, when nothing was.

    ``kept``: why the samples that stand there may go on all the same. Raises SpecError when one stood there then, and
    nobody says so. ``records``: the run's, which ``state`` adds up.
    """
    acts = book.by_hand_since(run, state.hands)
    if not acts:
        return []
    said = {one.act: f"{one.instrument}.{one.action}{f' by {one.by}' if one.by else ''}" for one, _ in acts}
    starts = [one.seq for one in records if isinstance(one.event, e.RunStarted) and not one.event.rested]
    standing, since = [], []
    for number in sorted(state.open_trials):
        trial = state.trials[number]
        if not _stands(trial):
            continue
        # The start that began it comes after an act that lies before it, by the count of starts and not by any clock.
        begun_in = sum(seq < trial.steps[0].seq for seq in starts) if trial.steps else 0
        if touched := [one.act for one, had in acts if had >= begun_in]:
            standing.append(number)
            since += [act for act in touched if act not in since]
    if standing and not kept:
        name, trials = in_shell(path), " and ".join(map(str, standing))
        first = state.trials[standing[0]]
        away = f"resolve {first.trial} discard" if first.state == s.IN_DOUBT else f"veto {first.trial} --why TEXT"
        raise SpecError(
            f"while this run stood still, this was done by hand on its bench: "
            f"{', '.join(said[act] for act in since)}; and the sample of trial {trials} stands there. "
            f"May it go on: `labloop resume {name} --as-it-is --why TEXT`. Is it spoiled: "
            f"`labloop request {name} {away}`, and resume: it is cleaned away, and its settings are tried again"
        )
    return [e.ByHandSeen(acts=said, by=by, why=kept)]


def _stands(trial: s.TrialState) -> bool:
    return trial.state in (s.RUNNING, s.IN_DOUBT) and not made_nothing(trial.steps)
