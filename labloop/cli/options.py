"""What verbs have in common: options, and how a run is named."""

from pathlib import Path
from typing import Annotated

import typer

By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who does this (default: the user's name).")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why, for those who read the journal later.")]
Json = Annotated[bool, typer.Option("--json", help='One JSON document with "schema": 1 on stdout.')]
Campaign = Annotated[Path, typer.Argument(metavar="CAMPAIGN", help="The campaign's YAML file.", show_default=False)]
Lab = Annotated[Path | None, typer.Option("--lab", metavar="LAB", help="Another lab file than the campaign names.")]
LabFile = Annotated[Path, typer.Argument(metavar="LAB", help="The lab's YAML file.", show_default=False)]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's folder, or its name below runs/.", show_default=False)
]
Live = Annotated[bool, typer.Option("--live", help="Real instruments, not simulated ones.")]


def person(by: str) -> str:
    """The name that goes into the journal: what was given, else the user's own."""
    from labloop.journal.inbox import user

    return by or user()


def run_folder(name: str) -> Path:
    """The folder of the run that ``name`` means. Raises SpecError when there is none."""
    path = Path(name)
    if path.name == "journal.db":
        path = path.parent
    for folder in (path, Path("runs") / name):
        if (folder / "journal.db").is_file():
            return folder
    from labloop.campaign.errors import SpecError
    from labloop.campaign.models import suggest

    known = sorted(journal.parent.name for journal in Path("runs").glob("*/journal.db"))
    close = suggest(path.name, known)
    if close:
        way_out = f"Did you mean runs/{close}?"
    elif known:
        way_out = f"Runs here: {', '.join(known[-8:])}."
    else:
        way_out = "Name the folder of a run; `labloop run CAMPAIGN` begins one."
    what = "holds no journal.db, so it is no run" if path.is_dir() else "there is no such run"
    if path.is_file():
        what = "is a file, and a run is a folder"
    raise SpecError(f"{name}: {what}. {way_out}")
