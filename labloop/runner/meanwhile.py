"""What others did on a run's bench while the run stood still, by hand or in another run, and the samples that stood
there meanwhile.

Nobody but a person knows whether a sample is still what it was: whoever takes the run up says so, or has it cleaned
away. What others have set is known to be theirs, and no question (see left_standing): everything is configured at every
start, and ``setup`` runs again.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import LabloopError, SpecError, StateError
from labloop.campaign.text import in_shell
from labloop.journal import Reader, StoreError

from .book import BenchBook, BenchOwes, Others
from .look import JOURNAL
from .memory import RunMemory
from .recovery import made_nothing


def by_others(
    book: BenchBook, run: str, path: Path, records: Iterable[e.Record], state: s.CampaignState, by: str, kept: str,
    accepted: bool = False,
) -> list[e.ByHandSeen]:  # fmt: skip
    """The fact of what others did since ``run`` had the bench; none, when they did nothing.

    ``kept``: why the samples that stand there may go on all the same. Raises SpecError when one stood there then, and
    nobody says so; and so of what the run itself did for a person in the pause in which it ended, unless a person has
    ``accepted`` that. ``records``: the run's, which ``state`` adds up.
    """
    acts = list(_acts(book, run, state.hands if accepted else state.hands - state.by_hand.keys()))
    said = {act: state.by_hand.get(act, words) for act, words, _ in acts}
    starts = [one.seq for one in records if isinstance(one.event, e.RunStarted) and not one.event.rested]
    standing, since = [], []
    for number in sorted(state.open_trials):
        trial = state.trials[number]
        if not _stands(trial):
            continue
        # The start that began it comes after an act that lies before it, by the count of starts and not by any clock.
        begun_in = sum(seq < trial.steps[0].seq for seq in starts) if trial.steps else 0
        if touched := [act for act, _, had in acts if had >= begun_in]:
            standing.append(number)
            since += [act for act in touched if act not in since]
    if standing and not kept:
        name, trials = in_shell(path), " and ".join(map(str, standing))
        first = state.trials[standing[0]]
        away = f"resolve {first.trial} discard" if first.state == s.IN_DOUBT else f"veto {first.trial} --why TEXT"
        raise SpecError(
            f"while this run stood still, this was done on its bench: "
            f"{', '.join(said[act] for act in since)}; and the sample of trial {trials} stands there. "
            f"May it go on: `labloop resume {name} --as-it-is --why TEXT`. Is it spoiled: "
            f"`labloop request {name} {away}`, and resume: it is cleaned away, and its settings are tried again"
        )
    news = {act: words for act, words in said.items() if act not in state.hands}
    return [e.ByHandSeen(acts=news, by=by, why=kept)] if news else []


def refuse_stopped(path: Path, records: Iterable[e.Record]) -> None:
    """Raises StateError when somebody stopped the run while this start of it was on its way: read from the disk, or
    waiting for the runner that had the run. One who was told that no runner lives has stopped it, too.

    ``records``: what has come since it was begun.
    """
    for one in records:
        wish = one.event
        if isinstance(wish, e.Requested) and wish.request in ("abort", "stop"):
            raise StateError(
                f"{path}: {wish.by or 'somebody'} said {wish.request} while this start was on its way; nothing was "
                f"begun. Is it to go on all the same: `labloop resume {in_shell(path)}`"
            )


@contextmanager
def told_if_refused(memory: RunMemory) -> Iterator[None]:
    """A first start that does not get its bench has stopped there, as its journal says too and not only a terminal."""
    try:
        yield
    except LabloopError as error:
        if memory.state.state == s.READY:
            code = 6 if isinstance(error, BenchOwes) else 5 if isinstance(error, StoreError) else 2
            with suppress(StoreError):  # what was refused says more
                memory.journal.append(e.CampaignStopped(reason=str(error), exit_code=code))
        raise


def still_left(
    book: BenchBook, run: str, records: Iterable[e.Record], state: s.CampaignState, t_s: float
) -> list[e.SettingsLeft]:  # fmt: skip
    """What is still to be compared of what the last safe state left, when others have had the bench since; else none.

    ``records``: the run's, which ``state`` adds up.
    """
    names = (state.left or {}).keys() | state.counted.keys()
    if not names:
        return []
    had_then = sum(isinstance(one.event, e.RunStarted) and not one.event.rested for one in records)
    touched = {
        act.instrument
        for act, had in book.by_hand_since(run, state.hands)
        if had >= had_then and act.run != run and act.instrument in names
    }
    # Another run sets up all that it has, though it may do nothing then.
    if any(one.had >= had_then and f"run-{one.epoch}" not in state.hands for one in book.others_since(run)):
        touched = set(names)
    if not touched:
        return []
    rest = {name: one for name, one in (state.left or {}).items() if name not in touched}
    return [e.SettingsLeft(stands=rest, touched=sorted(touched), t_s=t_s)]


def _acts(book: BenchBook, run: str, known: set[str]) -> Iterator[tuple[str, str, int]]:
    """What others did that the run does not know of: its name, in words, and how often the run had had the bench."""
    for act, had in book.by_hand_since(run, known):
        yield act.act, f"{act.instrument}.{act.action} by {act.by or 'hand'}", had
    for other in book.others_since(run):
        name = f"run-{other.epoch}"
        if name not in known and (did := _did(other)):
            yield name, f"{did} by the run {other.run}", other.had


def _did(other: Others) -> str:
    """What another run did while it had the bench, in words; empty: nothing. Only its own journal tells."""
    first = other.rows[0] if other.rows else 0
    last = other.rows[-1] if len(other.rows) > 1 else None
    steps: dict[str, int] = {}
    try:
        with Reader(Path(other.run) / JOURNAL) as journal:
            for record in journal.records(first):
                fact = record.event
                if last is not None and record.seq > last:
                    break
                if isinstance(fact, e.StepStarted) and fact.instrument != e.PERSON:
                    steps[fact.instrument] = steps.get(fact.instrument, 0) + 1
    except StoreError:
        return "what nobody can read any more"
    return ", ".join(f"{count} step{'s' if count > 1 else ''} of {name}" for name, count in steps.items())


def _stands(trial: s.TrialState) -> bool:
    return trial.state in (s.RUNNING, s.IN_DOUBT) and not made_nothing(trial.steps)
