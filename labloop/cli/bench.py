"""``simulate``, ``instruments`` and ``ports``: the bench without a campaign."""

from pathlib import Path
from typing import Annotated, Any

import typer

from . import words
from .options import By, Json, Live, Why, person

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
    serve_lab(spec, addresses, speed=speed or spec.simulation.speed, faults=faults, ledger=ledger)


def instruments(
    lab: LabFile,
    name: Annotated[str | None, typer.Argument(metavar="[NAME", help="One instrument of the lab.")] = None,
    action: Annotated[str | None, typer.Argument(metavar="ACTION", help="One of its actions.")] = None,
    settings: Annotated[list[str] | None, typer.Argument(metavar="setting=value ...]", help="Its settings.")] = None,
    live: Live = False,
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
    with by_hand.hand_bench(spec, live=live) as bench:
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
