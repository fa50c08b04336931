"""``labloop why``: what spoke for the model that was taken."""

from pathlib import Path
from typing import Any


def test_the_model_that_was_chosen_by_evidence_is_told(here: Path, labloop: Any) -> None:
    text = (here / "cake.yaml").read_text().replace("trials: 20", "trials: 5") + "engine: {model: auto}\n"
    (here / "cake.yaml").write_text(text)
    first = labloop("ask", "cake.yaml", "--run", "r", "--json").document["proposals"][0]["settings"]
    labloop("tell", "r", "1", f"height={(first['sugar'] - 10) / 2 + (first['oven'] - 150) / 10}")
    rows = [f"{10 + 6 * at},{150 + 10 * (at % 8)},{('wheat', 'rye')[at % 2]},{3 * at + at % 8}" for at in range(13)]
    rows[4] = "34,190,wheat,990"  # the scales were not empty
    (here / "old.csv").write_text("\n".join(["sugar,oven,flour,height", *rows]) + "\n")
    assert labloop("tell", "r", "--table", "old.csv").code == 0
    (asked,) = labloop("ask", "cake.yaml", "--run", "r", "--json").document["proposals"]
    number = asked["trial"]
    told = labloop("why", "r", number, "--json").document["evidence"]["height"]
    assert told["taken"] == "robust" and told["ahead"]["robust"] > 4.0 and set(told["ahead"]) >= {"drift", "warp"}
    said = labloop("why", "r", number).out
    (line,) = [one for one in said.splitlines() if one.startswith("model of height  ")]
    assert line.startswith("model of height  robust, by leave-one-out evidence over plain: ")
    assert f"robust {told['ahead']['robust']:+.1f}," in line, "what goes with it may be ahead, and by too little"
    assert "height has outliers: 6 (robust, taken by evidence" in " ".join(said.split())
    (trial,) = [one for one in labloop("trials", "r", "--format", "json").document["trials"] if one["trial"] == number]
    assert trial["evidence"]["height"] == told
    stands = labloop("status", "r").out
    assert "\noutliers, by the model: trial 6 (not taken for the best" in stands and "best: trial 6:" not in stands
    assert "\nan outlier, as the last model sees it" in labloop("why", "r", 6).out and "an outlier" not in said
    assert labloop("why", "r", 1, "--json").document["evidence"] == {}
