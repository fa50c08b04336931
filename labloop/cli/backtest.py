"""``backtest``: a campaign against a table of past measurements."""

from pathlib import Path
from typing import Annotated, Any

import typer

from . import words
from .options import Campaign, Json


def backtest(
    campaign: Campaign,
    table: Annotated[
        Path,
        typer.Option(
            "--table", metavar="T.csv", help="Measured rows: a column a parameter, a column an outcome.",
            show_default=False,
        ),
    ],
    against: Annotated[
        str, typer.Option("--against", metavar="LIST", help="random, or NAME=FILE (another campaign), by commas.")
    ] = "random",
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", help="Courses a strategy.")] = 20,
    trials: Annotated[
        int | None, typer.Option("--trials", metavar="N", help="Evaluations in all (default: the campaign's budget).")
    ] = None,
    initial: Annotated[int, typer.Option("--initial", metavar="N", help="Rows by chance that all begin with.")] = 5,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="Q", help="Rows asked for at once (default: the campaign's).")
    ] = None,
    jobs: Annotated[
        str, typer.Option("--jobs", metavar="N", help="Processes (-1: one a core), ray, or ray://host:port.")
    ] = "-1",
    emulator: Annotated[
        bool,
        typer.Option(
            "--emulator", help="Any point of the space may be proposed: a model of the table, its error said, answers."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Its folder (default: backtests/<campaign>).")
    ] = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Try a campaign's strategy on a table of past measurements, beside others; ended, it goes on where it was.

    DIR gets courses.jsonl, backtest.json and backtest.png.
    """
    import sys
    from json import dumps

    from labloop.campaign.spec import read_spec
    from labloop.journal.files import write_whole
    from labloop.study.backtest import Backtest, Order
    from labloop.study.emulator import in_words

    folder = out or Path("backtests") / read_spec(campaign).campaign
    if emulator:
        words.say(f"an emulator is learnt from {table} and cross-validated")
    test = Backtest(
        Order(
            campaign=campaign, table=table, folder=folder,
            against=tuple(one.strip() for one in against.split(",") if one.strip()), seeds=seeds, trials=trials,
            initial=initial, batch=batch, jobs=jobs, emulator=emulator,
        )
    )  # fmt: skip
    missing = len(test.pieces())
    measured = test.measured
    words.say(
        f"{len(measured)} conditions ({measured.replicates} replicates, {measured.left_out} rows outside the space); "
        f"{missing} of {len(test.files) * seeds} courses to run"
    )
    if test.emulator is not None:
        words.say(f"emulator, {in_words(test.emulator.document())}")
    for done, course in enumerate(test.run(), start=1):
        if sys.stderr.isatty():
            words.say(f"{done}/{missing}  {course.strategy}, seed {course.seed}")
    document = test.document()
    from labloop.study.curves import draw

    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "backtest.json", (dumps(document, indent=1) + "\n").encode(), shared=True)
    draw(document, folder / "backtest.png")
    if json:
        words.give_json(document)
        return
    _give(document)
    words.give(f"figures: {folder / 'backtest.json'}")
    words.give(f"picture: {folder / 'backtest.png'}")


def _give(document: dict[str, Any]) -> None:
    from labloop.study.emulator import in_words

    if document["emulator"] is not None:
        words.give(f"emulator, {in_words(document['emulator'])}")
    front = document["goal"] == "hypervolume"
    columns = ["strategy", "courses", *([] if front else ["to top 1 %", "reached"]), "area", "p10", "last", "CPU s"]
    rows = []
    for name, figures in document["strategies"].items():
        if not figures["courses"]:
            continue
        row: list[object] = [name, figures["courses"]]
        if not front:
            top = figures["to_top"]
            beyond = f"> {document['trials']}" if top["median"] > document["trials"] else f"{top['median']:g}"
            row += [beyond, f"{top['reached']}/{figures['courses']}"]
        row += [f"{figures['area']['mean']:.3f}", f"{figures['area']['p10']:.3f}", f"{figures['last']['mean']:.3f}"]
        row += [f"{figures['cpu_s']['median']:.3f}" if figures["cpu_s"] else ""]
        rows.append(row)
    words.give_table(columns, rows)
