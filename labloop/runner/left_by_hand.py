"""What was begun by hand or by a service, and whose end nobody has written down: its process was killed, or its
instrument did not answer any more.

Whoever has the bench next asks what became of it, before anything else is said to its instrument; runs are refused
until somebody has (see book). The first answer is evidence, an alarm is told once: that it is asked for, and what it
was, are facts before it is judged, so who is killed in asking takes nothing away.

    done, partial, not_begun    as the instrument's counters say; stock and totals go by that
    cannot_tell                 it is stopped, for it may be at it still; it counts in full, for good
    running                     it is stopped, and asked again

Who only looks stops nothing: what runs, or may run, stays open then, and whoever acts next stops it.

Of an instrument that never answers again a person says what became of its act, or it is taken out of the lab file: then
the act counts in full.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from labloop.bench import Action, BenchError, Verdict, drawn, settings
from labloop.bench.declared import Declaration
from labloop.bench.lab import Lab
from labloop.bench.station import Station
from labloop.bench.totals import nothing
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.units import convert, parse_quantity

from .book import BenchBook

# Acts that a service did for others are told apart in the book by this.
SERVED: Final = "leco-"
STILL: Final = ("running", "cannot_tell")  # what may go on while nobody watches
ANSWERS: Final = "Say: resolve {0} done [AMOUNT] | not-done, as in: resolve {0} done '0.14 mL' --why TEXT"


def take_up(lab: Lab, book: BenchBook, *, looks: bool = False) -> list[e.ByHand]:
    """Ask what became of every act that was left, and write it down: the facts that end them.

    Raises BenchError when an instrument does not say; who only looks goes on to the next.
    """
    ended = []
    for fact in list(book.state.begun.values()):
        try:
            verdict = _became(lab, book, fact, looks)
        except BenchError:
            if not looks:
                raise
            continue
        if looks and verdict.state in STILL and fact.instrument in lab.instruments:
            continue  # an end that is written down is stopped by nobody any more
        ended.append(_end(lab, fact, verdict))
        finish(lab.declared, book, ended[-1])
    return ended


def resolve(
    declared: Mapping[str, Declaration], book: BenchBook, name: str, said: Sequence[str], by: str, why: str
) -> e.ByHand:  # fmt: skip
    """What a person says became of the act that was left at ``name``: ``done``, ``done AMOUNT`` or ``not-done``; the
    fact that ends it. Its instrument is not asked.

    Raises SpecError when nothing was left there, or the answer does not fit its act.
    """
    begun = book.state.begun.get(name)
    if begun is None:
        left = ", ".join(sorted(book.state.begun))
        raise SpecError(f"no act by hand was left alone at {name}; {f'but at {left}' if left else 'nor anywhere else'}")
    one = declared.get(name)
    action = one.actions.get(begun.action) if one is not None else None
    word, *rest = said or ["nothing"]
    if word not in ("done", "not-done") or (word == "not-done" and rest):
        raise SpecError(f"{' '.join(said) or 'nothing'}: is no answer. {ANSWERS.format(name)}")
    if not why:
        raise SpecError(f"a person's word on {name}.{begun.action} needs a reason: --why TEXT")
    achieved: dict[str, e.Amount] = {}
    if word == "not-done" and action is not None:
        achieved = dict(nothing(action))
    elif rest:
        achieved = _amount_of(name, begun.action, action, " ".join(rest))
    done = word == "done"
    ended = e.ByHand(
        act=begun.act, instrument=name, action=begun.action, settings=begun.settings, achieved=achieved, done=done,
        failed="" if done else f"not_begun: {by} says so: {why}", by=f"{begun.by}; {by} says {' '.join(said)}: {why}",
    )  # fmt: skip
    finish(declared, book, ended)
    return ended


def _amount_of(name: str, act: str, action: Action | None, text: str) -> dict[str, e.Amount]:
    """How much it did. Raises SpecError for what is no amount of this act."""
    counted = next((one.unit for one in action.settings if one.name == action.amount), None) if action else None
    if action is None or counted is None:
        raise SpecError(f"{name}.{act} is not counted by an amount: say done, without one")
    quantity = parse_quantity(text)
    if not quantity.unit or quantity.value < 0:
        raise SpecError(f"{text!r} is no amount: give a number that is not negative, with its unit")
    convert(quantity.value, quantity.unit, counted)
    return {action.amount: e.Amount(quantity.value, quantity.unit)}


def finish(declared: Mapping[str, Declaration], book: BenchBook, ended: e.ByHand) -> None:
    """Write down how an act ended, and with it what it took out of its stock: all of it, where nobody knows how much.

    Where its driver does not know its settings any more, or the lab file has it no more, its stock counts as used up
    until somebody says what it holds.
    """
    name, held = ended.instrument, book.left(ended.instrument)
    one = declared.get(name)
    action = one.actions.get(ended.action) if one is not None else None
    taken: e.Amount | None = None
    if one is None or action is None:
        taken = held
    elif held is not None and action.act and action.amount:
        try:
            taken = drawn(action, _achieved(one, ended), held.unit)
        except SpecError:
            taken = None if action.fills else held
    book.record(ended, *(book.drawing(name, taken, ended.act) if taken is not None else []))


def _achieved(one: Declaration, ended: e.ByHand) -> Mapping[str, e.Amount]:
    action = one.actions[ended.action]
    if action.amount in ended.achieved:
        return ended.achieved
    return one.expected(ended.action, settings.resolve(action, ended.settings)).achieved


def _became(lab: Lab, book: BenchBook, fact: e.ByHand, looks: bool) -> Verdict:
    station = lab.instruments.get(fact.instrument)
    if station is None:
        return Verdict(state="cannot_tell", why="the lab file has it no more")
    book.record(e.InstrumentAsked(instrument=fact.instrument))
    now = _call(station, station.identify)
    book.record(
        e.InstrumentIdentified(
            instrument=fact.instrument, model=now.model, firmware=now.firmware, serial=now.serial,
            first_reply=now.first_reply,
        )
    )  # fmt: skip
    for said in book.state.heard[fact.instrument]:
        station.driver.overheard(said)
    try:
        verdict = _asked(station, fact)
    except SpecError as error:  # a setting was renamed since, say: nobody can ask about it any more
        if not looks:
            _call(station, station.driver.stop)
        return Verdict(state="cannot_tell", why=f"its driver does not know what it was: {error}")
    if verdict.state in STILL and not looks:
        _call(station, station.driver.stop)
        verdict = _asked(station, fact)
    return verdict


def _asked(station: Station, fact: e.ByHand) -> Verdict:
    """Raises SpecError where its driver does not know the act, or its settings, any more."""
    if fact.action not in station.actions:
        raise SpecError(f"it has no action {fact.action!r}")
    verdict: Verdict = _call(
        station, lambda: station.driver.happened(fact.action, fact.settings, fact.before, fact.act)
    )
    return verdict


def _call(station: Station, call: Any) -> Any:
    return station.port.submit(call).result()


def _end(lab: Lab, fact: e.ByHand, verdict: Verdict) -> e.ByHand:
    done = verdict.state == "done"
    whose = "the service" if fact.act.startswith(SERVED) else "its run" if fact.run else "its command"
    achieved = verdict.achieved
    if verdict.state == "not_begun":
        achieved = nothing(lab.instruments[fact.instrument].actions[fact.action])
    return e.ByHand(
        act=fact.act, instrument=fact.instrument, action=fact.action, settings=fact.settings, achieved=dict(achieved),
        done=done, failed="" if done else f"{verdict.state}: {whose} ended meanwhile; {verdict.why}", by=fact.by,
        run=fact.run,
    )  # fmt: skip
