"""``replay``: each proposal of a run made again from the facts it rested on."""

from typing import Annotated, Any

import typer

from . import exits, words
from .options import Json, RunName, run_folder


def replay(
    name: RunName,
    trials: Annotated[
        list[int] | None, typer.Argument(metavar="TRIAL ...", help="Only these (default: all).", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Would it be proposed again? Each proposal is computed anew from the journal and held against what it was then.

    Reads only, and moves nothing. It ends with 1 where settings differ.
    """
    from dataclasses import asdict

    from labloop import __version__
    from labloop.campaign.state import CampaignState, fold
    from labloop.journal import Reader
    from labloop.runner.kept import former_specs, kept_spec
    from labloop.runner.look import JOURNAL
    from labloop.study.replay import CLOSE, DIFFERS, SAME
    from labloop.study.replay import replay as made_again

    folder = run_folder(name)
    with Reader(folder / JOURNAL) as reader:
        records = list(reader.records())
    opened = fold(records).opened

    def specs(state: CampaignState) -> Any:
        return kept_spec(folder, state), former_specs(folder, state)

    found = []
    for one in made_again(records, specs, trials or ()):
        found.append(one)
        if not json and one.verdict != SAME:
            words.give(f"trial {one.trial}  {_SAYS[one.verdict]}: {words.plain(one.words)}")
    counts = {verdict: sum(one.verdict == verdict for one in found) for verdict in _SAYS}
    if json:
        versions = {"then": opened.version if opened else "", "now": __version__}
        proposals = [asdict(one) for one in found]
        words.give_json({"schema": 1, "version": versions, "counts": counts, "proposals": proposals})
    else:
        said = ", ".join(f"{count} {_SAYS[verdict]}" for verdict, count in counts.items() if count or verdict == SAME)
        words.give(f"{len(found)} proposals: {said}")
        if opened and opened.version != __version__ and counts[DIFFERS] + counts[CLOSE]:
            words.give(f"they were made by labloop {opened.version}; this is {__version__}")
    if counts[DIFFERS]:
        raise typer.Exit(exits.FAILED)


_SAYS = {
    "same": "the same to the last bit",
    "close": "with the same settings, and other numbers beside them",
    "differs": "with other settings",
    "none": "never computed",
}
