"""``instruments``: who is there, what it reads, one action by hand, and what passed on the line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import words
from .options import By, Json, LabFile, Live, Why, person

if TYPE_CHECKING:
    from labloop.campaign.events import Amount
    from labloop.campaign.lab_spec import LabSpec
    from labloop.runner.by_hand import HandBench


def instruments(
    lab: LabFile,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One instrument of the lab.")] = None,
    action: Annotated[str | None, typer.Argument(metavar="ACTION", help="One of its actions.")] = None,
    settings: Annotated[list[str] | None, typer.Argument(metavar="setting=value ...", help="Its settings.")] = None,
    live: Live = False,
    walk: Annotated[
        bool, typer.Option("--walk", help="Move each a little, one after the other, and ask which one moved.")
    ] = False,
    hex: Annotated[bool, typer.Option("--hex", help="Show the last exchanges, byte by byte.")] = False,
    json: Json = False,
    by: By = "",
    why: Why = "",
) -> None:
    """Open, identify and read every instrument, or do one action by hand.

    With --live, nothing is asked or done while a run has the bench, or before one that was killed there is resumed.
    LAB resolve NAME done [AMOUNT]|not-done --why TEXT: what became of an act by hand that was left alone, where NAME
    never answers again. LAB refill NAME AMOUNT, LAB empty NAME [AMOUNT]: what its stock, or a total of the lab, holds
    now, where no run has the bench that could be told.
    """
    from labloop.bench import BenchError
    from labloop.bench.settings import suggest
    from labloop.campaign.errors import SpecError
    from labloop.campaign.spec import read_lab
    from labloop.runner import by_hand

    spec = read_lab(lab)
    if name == "resolve" and name not in spec.instruments:
        _resolve(spec, action, settings or [], json, person(by), why)
        return
    if name in ("refill", "empty") and name not in spec.instruments:
        there = by_hand.say_there(spec, name, [*filter(None, [action]), *(settings or [])], person(by), why)
        if json:
            words.give_json({"schema": 1, "said": there, "simulated": False})
        else:
            words.give(there)
        return
    if name is not None and name not in spec.instruments:
        raise SpecError(f"{lab}: there is no instrument {name!r}; {suggest(name, spec.instruments)}")
    wished = by_hand.read_settings(settings or [])
    if walk and name is not None:
        raise SpecError(f"--walk moves every instrument; take {name} out, or leave --walk away")
    looks = action is None and not walk
    with by_hand.hand_bench(spec, live=live, looks=looks, person=person(by)) as bench, _shown(bench, hex):
        if walk:
            _walk(bench, live, json, person(by))
            return
        if name is not None and action is not None:
            bench.envelope.action(name, action)
            ended = by_hand.act(bench, name, action, wished, person(by), why)
            achieved = {key: {"value": one.value, "unit": one.unit} for key, one in ended.achieved.items()}
            document = {
                "schema": 1, "instrument": name, "action": action, "done": ended.done, "achieved": achieved,
                "failed": ended.failed, "simulated": not live,
            }  # fmt: skip
            if json:
                words.give_json(document)
            else:
                values = ", ".join(f"{key} = {words.quantity(one)}" for key, one in achieved.items())
                words.give(f"{_mode(live)}  {name}.{action}  {'done' if ended.done else 'not done'}  {values}".rstrip())
            if not ended.done:
                raise BenchError(f"{name}.{action}: {ended.failed}")
            return
        answers = by_hand.ask_all(bench, name)
    if json:
        words.give_json(
            {"schema": 1, "lab": spec.name, "simulated": not live, "instruments": [_entry(a) for a in answers]}
        )
    else:
        rows = [
            [one.instrument, one.kind, " ".join(filter(None, one.identity.values())), _said(one), one.address]
            for one in answers
        ]
        words.give_table(["instrument", "kind", "identity", "reads", "port"], rows, title=_mode(live))
    for one in answers:
        if one.left:
            words.say(f"{one.instrument}: {one.left}")
    lost = [one for one in answers if one.error]
    if lost:
        raise BenchError("\n".join(f"{one.instrument}: {one.error}" for one in lost))


def _resolve(spec: "LabSpec", name: str | None, said: list[str], json: bool, by: str, why: str) -> None:
    """A person's word on what an instrument will not tell any more; on real benches alone anything is left to tell."""
    from labloop.bench.declared import declare
    from labloop.campaign.errors import SpecError
    from labloop.runner import by_hand, left_by_hand

    if name is None:
        raise SpecError(f"which instrument? {left_by_hand.ANSWERS.format('NAME')}")
    with by_hand.taken(spec, live=True, looks=True) as book:
        ended = left_by_hand.resolve(declare(spec), book, name, said, by, why)
    achieved = {key: {"value": one.value, "unit": one.unit} for key, one in ended.achieved.items()}
    if json:
        words.give_json(
            {"schema": 1, "instrument": name, "action": ended.action, "done": ended.done, "achieved": achieved,
             "failed": ended.failed, "simulated": False}
        )  # fmt: skip
        return
    values = ", ".join(f"{key} = {words.quantity(one)}" for key, one in achieved.items())
    words.give(f"{name}.{ended.action}  {'done' if ended.done else 'not done'}  {values}".rstrip())


def _walk(bench: "HandBench", live: bool, json: bool, by: str) -> None:
    """Move each instrument and ask which one it was. Raises BenchError when one is not where it should be."""
    from labloop.bench import BenchError
    from labloop.runner import which_moved

    moves = which_moved.moves(bench)
    seen = {move.instrument for move in moves}
    for move in moves:
        words.say(f"{_mode(live)}  {move.instrument}.{move.action}  {_settings(move.settings)}")
    for name in [one for one in bench.lab.instruments if one not in seen]:
        words.say(f"{name}: has nothing to show, and is left out")
    if not typer.confirm("Each will do this, one after the other. Go on?", err=True, default=False):
        words.say("Nothing moved.")
        return

    def which(move: which_moved.Move) -> str:
        known = [*bench.lab.instruments, which_moved.NOTHING]
        while True:
            asked = f"{move.instrument} should have moved. Which one did?"
            said = str(typer.prompt(asked, err=True, default="", show_default=False)).strip()
            if said in known:
                return said
            words.say(f"{said or 'That'}: is no instrument of this lab. One of: {', '.join(known)}")

    saw = which_moved.walk(bench, by, which)
    if json:
        entries = [
            {"instrument": one.instrument, "moved": one.moved, "right": one.right, "failed": one.failed} for one in saw
        ]
        words.give_json({"schema": 1, "lab": bench.spec.name, "simulated": not live, "walk": entries})
    else:
        rows = [[one.instrument, one.moved or one.failed, "yes" if one.right else "NO"] for one in saw]
        words.give_table(["instrument", "moved", "right"], rows, title=_mode(live))
    if wrong := which_moved.complaints(bench, saw):
        raise BenchError("\n".join(wrong))


@contextmanager
def _shown(bench: "HandBench", hex: bool) -> Iterator[None]:
    """With --hex, what passed on each line, whatever came of it."""
    try:
        yield
    finally:
        for address, port in bench.lab.ports.items() if hex else ():
            if not port.traffic:
                continue
            words.give(words.plain(address))
            for one in port.traffic:
                for data in [one.data] if isinstance(one.data, bytes) else one.data:
                    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
                    words.give(f"{one.at_s:12.3f} {one.kind:8} {data.hex(' ')}  |{text}|")


def _mode(live: bool) -> str:
    return "LIVE" if live else "SIMULATED"


def _settings(settings: "Mapping[str, Amount]") -> str:
    return ", ".join(f"{name} = {words.number(one.value)} {one.unit}".rstrip() for name, one in settings.items())


def _entry(answer: Any) -> dict[str, Any]:
    import msgspec

    readings = {name: msgspec.to_builtins(one) for name, one in answer.readings.items()}
    return {
        "instrument": answer.instrument, "kind": answer.kind, "port": answer.address, **answer.identity,
        "readings": readings, "error": answer.error, "left": answer.left,
    }  # fmt: skip


def _said(answer: Any) -> str:
    if answer.error:
        return f"LOST: {answer.error}"
    return ", ".join(
        f"{name} {words.number(one.value)} {one.unit}".rstrip()
        for name, one in answer.readings.items()
        if one.value is not None
    )
