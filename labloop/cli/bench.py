"""``simulate``, ``instruments`` and ``ports``: the bench without a campaign."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import words
from .options import By, Json, Live, Why, person

if TYPE_CHECKING:
    from labloop.campaign.events import Amount
    from labloop.runner.by_hand import HandBench

LabFile = Annotated[Path, typer.Argument(metavar="LAB", help="The lab's YAML file.", show_default=False)]


def simulate(
    lab: LabFile,
    addresses: Annotated[
        Path, typer.Option("--addresses", metavar="OUT.yaml", help="The lab file that points at the simulators.")
    ],
    ledger: Annotated[
        Path | None,
        typer.Option("--ledger", metavar="FILE", help="One JSON line for each physical act's begin and end."),
    ] = None,
    speed: Annotated[
        float | None, typer.Option("--speed", metavar="X", help="So many times faster (default: the lab file's).")
    ] = None,
    faults: Annotated[str | None, typer.Option("--faults", metavar="SPEC", help="Faults they shall have.")] = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="HOST", help="Where ZMQ ports are reached (default: here only).")
    ] = None,
    own_key: Annotated[
        Path | None, typer.Option("--own-key", metavar="FILE", help="The server's own NAME.key_secret, for ZMQ.")
    ] = None,
    allow: Annotated[
        Path | None, typer.Option("--allow", metavar="DIR", help="The public keys (*.key) of those who are let in.")
    ] = None,
) -> None:
    """Serve a lab's simulators on real ports until SIGTERM."""
    from labloop.campaign.errors import SpecError
    from labloop.campaign.spec import read_lab
    from labloop.runner.benches import refuse_bad_faults, serve_lab

    if speed is not None and not speed > 0:
        raise SpecError(f"--speed {speed}: must be above 0")
    refuse_bad_faults(faults)
    for option, path in (("--addresses", addresses), ("--ledger", ledger)):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise SpecError(f"{option} {path}: there is no folder for it. Name a file in a folder that is there")
    spec = read_lab(lab)
    if addresses.exists() and addresses.samefile(lab):
        raise SpecError(f"--addresses {addresses}: that is LAB itself. Name another file")
    words.say(f"{spec.name}: serving {len(spec.instruments)} instruments; {addresses} says where. SIGTERM ends it.")
    given = {"host": host, "own_key": own_key and own_key.resolve(), "allow": allow and allow.resolve()}
    door = {option: str(value) for option, value in given.items() if value is not None}
    serve_lab(spec, addresses, speed=speed or spec.simulation.speed, faults=faults, ledger=ledger, door=door)


def keys(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose keys: a machine's or a person's name.")],
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the two files go.")] = Path("keys"),
    json: Json = False,
) -> None:
    """Make a pair of keys for ZMQ beyond this machine."""
    from labloop.campaign.errors import SpecError
    from labloop.keys import KeyFileError, make_pair

    try:
        public, secret = make_pair(folder, name)
    except KeyFileError as error:
        raise SpecError(str(error)) from error
    if json:
        words.give_json({"schema": 1, "public": str(public), "secret": str(secret)})
        return
    words.give(str(public))
    words.give(str(secret))
    words.say(f"{public.name} is for the other side; {secret.name} stays here, readable by you alone.")
    words.say(f"A server takes it with --own-key, and lets in whose NAME{public.suffix} lies in its --allow folder.")
    words.say(f"A lab file names it in the port: ?server_key=THEIRS{public.suffix}&client_key={secret.name}")


def instruments(
    lab: LabFile,
    name: Annotated[str | None, typer.Argument(metavar="[NAME", help="One instrument of the lab.")] = None,
    action: Annotated[str | None, typer.Argument(metavar="ACTION", help="One of its actions.")] = None,
    settings: Annotated[list[str] | None, typer.Argument(metavar="setting=value ...]", help="Its settings.")] = None,
    live: Live = False,
    walk: Annotated[
        bool, typer.Option("--walk", help="Move each a little, one after the other, and ask which one moved.")
    ] = False,
    json: Json = False,
    by: By = "",
    why: Why = "",
) -> None:
    """Open, identify and read every instrument, or do one action by hand."""
    from labloop.bench import BenchError
    from labloop.bench.settings import suggest
    from labloop.campaign.errors import SpecError
    from labloop.campaign.spec import read_lab
    from labloop.runner import by_hand

    spec = read_lab(lab)
    if name is not None and name not in spec.instruments:
        raise SpecError(f"{lab}: there is no instrument {name!r}; {suggest(name, spec.instruments)}")
    wished = by_hand.read_settings(settings or [])
    if walk and name is not None:
        raise SpecError(f"--walk moves every instrument; take {name} out, or leave --walk away")
    with by_hand.hand_bench(spec, live=live) as bench:
        if walk:
            _walk(bench, live, json, person(by))
            return
        if name is not None and action is not None:
            bench.envelope.action(name, action)
            ended = by_hand.act(bench, name, action, wished, person(by) + (f": {why}" if why else ""))
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
        answers = [one for one in by_hand.ask_all(bench) if name in (None, one.instrument)]
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
    lost = [one for one in answers if one.error]
    if lost:
        raise BenchError("\n".join(f"{one.instrument}: {one.error}" for one in lost))


def _walk(bench: "HandBench", live: bool, json: bool, by: str) -> None:
    """Move each instrument and ask which one it was. Raises BenchError when one is not where it should be."""
    from labloop.bench import BenchError
    from labloop.runner import which_moved

    moves = which_moved.moves(bench)
    seen = {move.instrument for move in moves}
    for move in moves:
        words.say(f"{_mode(live)}  {move.instrument}.{move.action}  {_settings(move.settings)}")
    for name in bench.lab.instruments.keys() - seen:
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


def ports(json: Json = False) -> None:
    """The serial ports of this machine, as a lab file writes them."""
    from dataclasses import asdict

    from labloop.bench.discovery import serial_ports

    found = serial_ports()
    if json:
        words.give_json({"schema": 1, "ports": [asdict(one) for one in found]})
    elif not found:
        words.say("This machine has no serial port. Is the adapter plugged in?")
    else:
        words.give_table(
            ["port", "device", "what", "serial number"],
            [[one.address, one.device, one.description, one.serial_number] for one in found],
        )


def _mode(live: bool) -> str:
    return "LIVE" if live else "SIMULATED"


def _settings(settings: "Mapping[str, Amount]") -> str:
    return ", ".join(f"{name} = {words.number(one.value)} {one.unit}".rstrip() for name, one in settings.items())


def _entry(answer: Any) -> dict[str, Any]:
    import msgspec

    readings = {name: msgspec.to_builtins(one) for name, one in answer.readings.items()}
    return {
        "instrument": answer.instrument, "kind": answer.kind, "port": answer.address, **answer.identity,
        "readings": readings, "error": answer.error,
    }  # fmt: skip


def _said(answer: Any) -> str:
    if answer.error:
        return f"LOST: {answer.error}"
    return ", ".join(
        f"{name} {words.number(one.value)} {one.unit}".rstrip()
        for name, one in answer.readings.items()
        if one.value is not None
    )
