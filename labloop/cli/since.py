"""What happened on a run since a time of day: what the next shift is told."""

import re
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

UNITS_S: Final = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def moment(written: str, now: datetime) -> datetime:
    """Read ``18:00`` (the last time it was that), ``2 h``, ``90 min`` ago, or an ISO 8601 time. Raises SpecError.

    ``now`` is aware; what names no zone is meant in its.
    """
    from labloop.campaign.errors import SpecError

    ago = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)", written.strip())
    try:
        if ago:
            return now - timedelta(seconds=float(ago[1]) * UNITS_S[ago[2]])
        if re.fullmatch(r"\d{1,2}:\d{2}", written.strip()):
            hour, minute = map(int, written.split(":"))
            today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
            return today if today <= now else today - timedelta(days=1)
        found = datetime.fromisoformat(written.strip())
    except (ValueError, OverflowError) as error:
        raise SpecError(
            f"--since {written}: is no time. Write a time of day (18:00), how long ago (2 h, 90 min), or a "
            "date and time (2026-11-26T18:00)"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=now.tzinfo)


def told_since(folder: Path, spec: Any, since: datetime) -> dict[str, Any]:
    """What a person wants to know of it: how many trials ended and how, the best then and now, and facts in words."""
    from labloop.campaign import events as e
    from labloop.campaign import view
    from labloop.campaign.state import CampaignState
    from labloop.campaign.words import line
    from labloop.journal import Reader

    state, ends, lines = CampaignState(), Counter[str](), []
    best_then: Any = None
    asked = False
    with Reader(folder / "journal.db") as reader:
        for record in reader.records():
            if not asked and datetime.fromisoformat(record.at) >= since:
                asked, best_then = True, view.best(spec, state)
            state.apply(record)
            if not asked:
                continue
            fact = record.event
            if isinstance(fact, e.TrialMeasured | e.TrialFailed | e.TrialAbandoned):
                ends[state.trials[fact.trial].state] += 1
            if isinstance(fact, e.TrialMeasured | e.TrialStarted | e.ProposalMade):
                continue
            said = line(record, state)
            if said is not None and said.tone != "quiet":
                lines.append({"seq": said.seq, "at": said.at, "text": said.text})
    return {
        "from": since.isoformat(), "trials": dict(ends), "facts": lines,
        "best_then": best_then if asked else view.best(spec, state), "best_now": view.best(spec, state),
    }  # fmt: skip
