"""``new``, ``new-driver`` and ``conformance``: a lab and its instruments, from nothing to proved."""

from pathlib import Path
from typing import Annotated

import typer

from . import exits, words
from .options import Json

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The lab's folder; made if it is not there.")]


def new(folder: Folder) -> None:
    """Make a lab of your own: lab.yaml, a driver, its simulator, its tests and a first campaign."""
    from labloop.campaign.text import in_shell
    from labloop.runner.new import new_lab

    for path in new_lab(folder):
        words.give(str(path))
    words.say("next:")
    words.say(f"    cd {in_shell(folder)}")
    words.say("    labloop instruments lab.yaml")
    words.say("    labloop run campaigns/first.yaml --virtual")
    words.say("    labloop conformance drivers.thermostat:Thermostat")


def new_driver(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of its module, like ph_meter.", show_default=False)],
    lab: Annotated[Path, typer.Option("--in", metavar="DIR", help="The lab's folder.")] = Path(),
) -> None:
    """Write a driver, its simulator and its tests: they work, and wait for your manual."""
    from labloop.runner.new import class_of, new_driver

    for path in new_driver(name, lab):
        words.give(str(path))
    made = f"{name}:{class_of(name)}"
    words.say("Into lab.yaml, below instruments:")
    words.say(
        f'    {name}: {{driver: "drivers.{made}", simulator: "simulators.{made}", '
        'port: "serial:///dev/ttyUSB0?baud=9600"}'
    )
    words.say("next:")
    words.say(f"    labloop conformance drivers.{made}")


def conformance(
    driver: Annotated[str, typer.Argument(metavar="DRIVER", help="Like drivers.new_era:NE1000.", show_default=False)],
    lab: Annotated[
        Path | None, typer.Option("--lab", metavar="LAB", help="The lab file that has it (default: looked for).")
    ] = None,
    json: Json = False,
) -> None:
    """Try a driver on its simulator: the rules that every driver keeps, and where this one does not."""
    from dataclasses import asdict

    from labloop.runner.conformance import BROKEN, examine
    from labloop.runner.new import lab_with

    spec, name = lab_with(driver, lab)
    found = list(examine(spec, name))
    broken = [one for one in found if one.state == BROKEN]
    if json:
        words.give_json({"schema": 1, "driver": driver, "findings": [asdict(one) for one in found]})
    else:
        words.give_table(
            ["rule", "about", "", "why"],
            [[one.rule, one.about, "BROKEN" if one.state == BROKEN else one.state, one.why] for one in found],
        )
        words.say(f"{driver}: {len(found)} findings, {len(broken)} broken")
    raise typer.Exit(exits.FAILED if broken else exits.DONE)
