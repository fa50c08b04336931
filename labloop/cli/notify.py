"""``notify``: a message to try the targets of a lab file with, before a night depends on them."""

from typing import Annotated

import typer

from . import exits, words
from .options import Json, LabFile


def notify(
    lab: LabFile,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One target; without: all of them.")] = None,
    json: Json = False,
) -> None:
    """Send a message to each target of the lab file's notify:, and say what became of it."""
    from labloop.campaign.errors import SpecError
    from labloop.campaign.models import did_you_mean
    from labloop.campaign.spec import read_lab
    from labloop.runner.addresses import address_of
    from labloop.runner.sending import send_by_apprise

    spec = read_lab(lab)
    if not spec.notify:
        raise SpecError(f"{lab}: has no notify:. Write notify: {{phone: {{env: LABLOOP_PHONE}}}}")
    if name is not None and name not in spec.notify:
        raise SpecError(f"{lab}: {name} is no target. {did_you_mean(name, spec.notify)}")
    said = {}
    for target in [name] if name is not None else spec.notify:
        about = ", ".join(spec.notify[target].about)
        body = f"Sent by `labloop notify {lab}`. {target} is told about: {about}."
        try:
            said[target] = send_by_apprise(address_of(spec.notify[target], spec.folder), f"{spec.name}: a trial", body)
        except SpecError as error:
            said[target] = str(error)
    if json:
        entries = {target: {"sent": not why, "why": why} for target, why in said.items()}
        words.give_json({"schema": 1, "lab": spec.name, "targets": entries})
    else:
        for target, why in said.items():
            words.give(f"{target}: {'NOT sent: ' + why if why else 'sent'}")
    if any(said.values()):
        raise typer.Exit(exits.USAGE)
