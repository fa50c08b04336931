"""What a person says of a bench that no run has: what was refilled, what was emptied."""

from pathlib import Path

from typer.testing import CliRunner

from labloop.bench import Envelope
from labloop.campaign import events as e
from labloop.campaign.spec import read_lab
from labloop.cli.app import app
from labloop.runner.admission import Admission, OutOfStock
from labloop.runner.by_hand import taken
from labloop.runner.clock import VirtualClock

LAB = f"""
root: {Path(__file__).resolve().parents[2]}
instruments:
  pump:
    driver: drivers.new_era:NE1000
    port: serial:///dev/pump
    syringe: {{volume: 10 mL, diameter: 14.43 mm}}
    stock: 1 mL
totals: {{flask: {{of: pump.dispense, max: 0.3 mL}}}}
"""


def test_what_is_full_is_emptied_where_no_run_ever_was(tmp_path: Path) -> None:
    """Of a bench that is only served or used by hand: nobody could tell its book that somebody had seen to it."""
    path = tmp_path / "lab.yaml"
    path.write_text(LAB)
    lab, done = str(path), e.ByHand(
        act="h", instrument="pump", action="dispense", by="ann", done=True,
        settings={"rate": e.Amount(1.0, "mL/min"), "volume": e.Amount(250.0, "uL")},
        achieved={"volume": e.Amount(250.0, "uL")},
    )  # fmt: skip

    def refused() -> str:
        with taken(read_lab(path), live=True) as book:
            admission = Admission(Envelope(read_lab(path)), VirtualClock(), book)
            try:
                admission.stage([done], None)
            except OutOfStock as error:
                return str(error)
            book.record(done, e.StockDrawn(name="pump", amount=e.Amount(250.0, "uL"), act=f"h{book.state.epoch}"))
        return ""

    def say(*words: str) -> str:
        told = CliRunner().invoke(app, ["instruments", lab, *words, "--by", "ann"])
        return told.stdout + told.stderr

    assert refused() == ""
    assert "Empty it, and say so: `labloop instruments LAB empty flask`." in refused()
    assert "no total 'flusk'; did you mean 'flask'?" in say("empty", "flusk") and "flask" in refused()
    assert "flask holds 3 cm now" not in say("empty", "flask", "3 cm") and "flask" in refused()
    assert say("empty", "flask") == "flask holds 0 mL now\n" and refused() == ""
    assert say("empty", "flask", "40 uL") == "flask holds 40 uL now\n" and refused() == ""
    assert say("refill", "pump", "0.2 mL") == "pump holds 0.2 mL now\n" and say("empty", "flask")
    assert "pump holds 0.2 mL" in (no := refused()) and "`labloop instruments LAB refill pump AMOUNT`" in no
