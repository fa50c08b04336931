"""A campaign's trials as one table: one row a trial, one column a parameter, an outcome, a prediction.

Names that would stand for two things (a parameter called ``state``) get their kind in front: ``settings.state``.
"""

from importlib.util import find_spec
from io import BytesIO
from typing import Any, Final

import pandas as pd

from labloop.campaign import view
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import CampaignState

FIRST: Final = ("trial", "sample", "role", "state", "source")
LAST: Final = ("proposed", "started", "finished", "duration_s", "model", "acquisition", "acquisition_value", "reason")
DESIRED: Final = "desirability"
AMENDED: Final = "amended"
TIMES: Final = ("proposed", "started", "finished")


def trials_frame(spec: CampaignSpec, state: CampaignState) -> pd.DataFrame:
    """Every trial as a row, in the order of their numbers.

    Columns: trial, sample, role, state, source; each parameter (in its declared unit); each outcome and, where one is
    known, ``<outcome>.sd`` (in the outcome's unit) and ``<outcome>.censored`` (above or below: the value is a bound),
    ``<outcome>.flag`` (why it is not to be believed: somebody marked it as wrong),
    ``<outcome>.word`` (what was seen, where the outcome is the verdict on it: 1 passes, 0 fails);
    ``<outcome>.predicted`` and ``<outcome>.predicted_sd``; ``desirability`` (the overall one, where the campaign says
    what is desirable); ``amended`` (in a run whose campaign was amended: the number of the last amendment's fact before
    the trial was proposed, as ``seq`` in status says it); proposed, started, finished (UTC); duration_s, model,
    acquisition, acquisition_value, reason.
    What is not known is NaN, NaT or None.
    """
    entries = view.trials_document(spec, state, with_plan=False)["trials"]
    desired = [DESIRED] if any(one.desirability is not None for one in spec.outcomes.values()) else []
    amended = [AMENDED] if state.amendments else []
    taken = {*FIRST, *LAST, *desired, *amended}
    wished = dict.fromkeys(name for entry in entries for name in entry["settings"]) or spec.parameters
    settings = {name: f"settings.{name}" if name in taken else name for name in wished}
    taken |= set(settings.values())
    outcomes = {name: f"outcomes.{name}" if name in taken else name for name in spec.outcomes}
    spread = {name for name in outcomes if any("sd" in entry["outcomes"].get(name, {}) for entry in entries)}
    censored = {name for name in outcomes if any("censored" in entry["outcomes"].get(name, {}) for entry in entries)}
    flagged = {name for name in outcomes if any("flag" in entry["outcomes"].get(name, {}) for entry in entries)}
    seen = {name for name in outcomes if any("word" in entry["outcomes"].get(name, {}) for entry in entries)}
    predicted = {name for name in outcomes if any(name in entry["predicted"] for entry in entries)}
    columns = [*FIRST, *settings.values()]
    for name, column in outcomes.items():
        columns += [column] + [f"{column}.sd"] * (name in spread) + [f"{column}.censored"] * (name in censored)
        columns += [f"{column}.flag"] * (name in flagged) + [f"{column}.word"] * (name in seen)
        columns += [f"{column}.predicted", f"{column}.predicted_sd"] * (name in predicted)
    rows = [_row(entry, settings, outcomes) for entry in entries]
    frame = pd.DataFrame(rows, columns=[*columns, *desired, *amended, *LAST])
    for column in amended:
        frame[column] = frame[column].astype("Int64")  # whole numbers, and none where the campaign was as it was begun
    for column in TIMES:
        frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601")
    for column in [*outcomes.values(), *desired]:
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    return frame


def to_csv(frame: pd.DataFrame) -> str:
    """The table as CSV, numbers as they are read back exactly."""
    return str(frame.to_csv(index=False))


def to_parquet(frame: pd.DataFrame) -> bytes:
    """The table as Parquet. Raises SpecError where pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise SpecError(
            "parquet needs pyarrow, which is not installed. Install it with pip install 'labloop[parquet]', or take "
            "--format csv"
        )
    out = BytesIO()
    frame.to_parquet(out, index=False)
    return out.getvalue()


def _row(entry: dict[str, Any], settings: dict[str, str], outcomes: dict[str, str]) -> dict[str, Any]:
    row = {name: entry[name] for name in (*FIRST, *LAST)}
    row[AMENDED] = entry[AMENDED] or None
    row[DESIRED] = entry[DESIRED]["overall"] if entry[DESIRED] else None
    row |= {column: entry["settings"].get(name) for name, column in settings.items()}
    for name, column in outcomes.items():
        measured, hoped = entry["outcomes"].get(name, {}), entry["predicted"].get(name, {})
        row |= {column: measured.get("value"), f"{column}.sd": measured.get("sd")}
        row |= {f"{column}.{what}": measured.get(what) for what in ("censored", "flag", "word")}
        row |= {f"{column}.predicted": hoped.get("mean"), f"{column}.predicted_sd": hoped.get("sd")}
    return row
