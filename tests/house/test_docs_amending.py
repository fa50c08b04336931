"""docs/amending.md names every place that may be amended, and no other; what it shows is what is printed."""

import re
from pathlib import Path

from labloop.campaign.amending import ANY, REST, RULES
from labloop.campaign.grammar import CampaignSpec
from labloop.campaign.models import keys_of

HOUSE = Path(__file__).parents[2]
PAGE = (HOUSE / "docs" / "amending.md").read_text(encoding="utf-8")


def test_the_table_names_what_may_be_amended_and_nothing_else() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    told = {place for row in rows for place in re.findall(r"`([^`]+)`", row.split("|")[1])}
    may = {".".join(map(str, rule)) for rule, why in RULES.items() if not why}
    assert told == may - {"candidates.repeats"}, "the table's rows are its candidates"


def test_every_key_of_a_campaign_has_a_rule() -> None:
    ruled = {rule[0] for rule in RULES if rule != (REST,)}
    assert ruled <= {*keys_of(CampaignSpec), "totals", "requires", "interlocks", "plausible"}
    recipe = {
        "labloop",
        "setup",
        "each_batch",
        "trial",
        "cleanup",
        "teardown",
        "every",
        "teaches",
        "remeasure",
        "remake",
    }
    assert set(keys_of(CampaignSpec)) - ruled == recipe and ANY not in ruled
