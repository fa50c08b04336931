"""Bad input: each ends with exit 2, names place, value, rule and way out, and never shows a traceback."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from labloop.journal import FileLock

Q, L = "quickstart.yaml", "lab.yaml"

# what is wrong: file, what is written there, what stands there instead, what the complaint must say
BAD: dict[str, tuple[str, str, str, list[str]]] = {
    "misspelt key": (Q, "constraints:", "constrains:", [f"{Q}:12:1: constrains", "Did you mean constraints"]),
    "misspelt key of a parameter": (Q, "{range: [4.53", "{rnage: [4.53", [f"{Q}:7:13", "Did you mean range"]),
    "misspelt outcome key": (Q, "goal: minimize", "gaol: minimize", [f"{Q}:16:", "Did you mean goal"]),
    "misspelt lab key": (L, "safe_state:", "safe_sate:", [f"{L}:15:1", "Did you mean safe_state"]),
    "duplicate key": (Q, "  q_pva:", "  q_agno3:", [f"{Q}:8:3", "stands twice (first in line 7)"]),
    "wrong unit": (Q, "temperature: 40 degC", "temperature: 40 mL", [f"{Q}:26:", "40 mL", "volume", "temperature"]),
    "unknown unit": (Q, "time: 30 s", "time: 30 sceonds", [f"{Q}:26:", "sceonds"]),
    "wrong unit of a product": (Q, "{rate: $q_tot * $q_pva,", "{rate: $q_pva,", [f"{Q}:21:", "rate"]),
    "impossible constraint": (Q, "<= 95 percent", "<= 10 percent", [f"{Q}:1", "constraint"]),
    "constraint on a stranger": (Q, "- q_agno3 + q_pva", "- q_agn03 + q_pva", [f"{Q}:13:", "Did you mean q_agno3"]),
    "bounds the wrong way round": (Q, "[10.0, 40.0]", "[40.0, 10.0]", [f"{Q}:8:", "smaller number first"]),
    "a bound that is no number": (Q, "[10.0, 40.0]", "[ten, 40.0]", [f"{Q}:8:", "ten", "Write it like"]),
    "NaN": (Q, "[10.0, 40.0]", "[.nan, 40.0]", [f"{Q}:8:", "nan"]),
    "missing file": (Q, "target_spectrum.csv", "targt.csv", [f"{Q}:16:", "there is no file", "targt.csv"]),
    "missing lab": (Q, "lab: lab.yaml", "lab: bench.yaml", [f"{Q}:4:6", "there is no file", "bench.yaml"]),
    "a stranger in an expression": (Q, "$q_tot * $q_tsc,", "$q_tot * $q_tcs,", [f"{Q}:22:", "Did you mean q_tsc"]),
    "wrong type": (Q, "budget: {trials: 40}", "budget: {trials: forty}", [f"{Q}:33:", "forty", "whole number"]),
    "a list for a mapping": (Q, "design: {initial", "design: [initial", [f"{Q}:3"]),
    "unknown instrument": (Q, "hotplate.hold:", "hotplat.hold:", [f"{Q}:26:", "Did you mean hotplate"]),
    "unknown action": (Q, "hotplate.hold:", "hotplate.hodl:", [f"{Q}:26:", "no action hodl", "hold"]),
    "unknown setting": (Q, "tolerance: 1 K", "tolerence: 1 K", [f"{Q}:26:", "tolerence", "tolerance"]),
    "missing setting": (Q, "{rate: $q_tot * $q_pva, time", "{time", [f"{Q}:21:", "needs rate"]),
    "limit of the lab exceeded": (
        Q, "temperature: 40 degC", "temperature: 90 degC", [f"{Q}:26:", "lab.yaml:13:", "80 degC", "Lower it"],
    ),
    "limit of the instrument exceeded": (
        Q, "[200, 983]", "[200, 98300]", [f"{Q}:20:", "can be asked for", "limit of the New Era NE-1000", "Lower it"],
    ),
    "fiction": (
        Q, "rate: $q_tot * $q_seed, time: 20 s", "rate: $q_tot * $q_seed, time: 0.2 s", [f"{Q}:23:", "one motor step"],
    ),
    "outcome from nowhere": (Q, "from: spectrum,", "from: spectrm,", [f"{Q}:16:", "spectrm", "spectrum"]),
    "unknown analysis": (Q, "distance_to_target", "distance_to_tagret", [f"{Q}:16:", "distance_to_target"]),
    "unknown driver": (L, "drivers.ika:RCT", "drivers.ikea:RCT", [f"{L}:9:", "drivers.ikea"]),
    "unknown driver class": (L, "drivers.ika:RCT", "drivers.ika:RTC", [f"{L}:9:", "RTC"]),
    "unknown option of a driver": (L, "address: 1,", "adress: 1,", [f"{L}:5:", "adress", "address"]),
    "two instruments with one address": (L, "address: 1,", "address: 0,", [f"{L}:5:", "pump_agno3", "address"]),
    "limit on nothing": (L, "temperature: {max", "temprature: {max", [f"{L}:13:", "temprature", "temperature"]),
    "a tag": (Q, "seed: 7", "seed: !!python/object:os.system 7", [f"{Q}:32:", "tag", "refused"]),
    "not YAML": (Q, "budget: {trials: 40}", "budget: {trials: 40", [f"{Q}:3"]),
    "a tab": (Q, "  q_pva:   ", "\tq_pva:   ", [f"{Q}:8:", "tab"]),
    "no remainder": (
        Q, "  - hotplate.hold:         {temperature", "  - if_interrupted: remainder\n    hotplate.hold:  {temperature",
        [f"{Q}:2", "remainder", "discard"],
    ),
    "more than the stock": (L, "diameter: 26.7 mm}, stock: 50 mL", "diameter: 26.7 mm}, stock: 200 uL",
                            [f"{L}:8:", "stock", "one trial can draw"]),
}  # fmt: skip


def complaint_of(said: Any) -> str:
    assert said.code == 2, said
    assert "Traceback" not in said.err and "Traceback" not in said.out
    assert said.out == "" or said.out.lstrip().startswith("{")
    assert len(said.err) < 4000
    return str(said.err)


@pytest.mark.parametrize("what", BAD)
def test_check_refuses(what: str, bench: Path, labloop: Any) -> None:
    file, old, new, words = BAD[what]
    text = (bench / file).read_text()
    assert old in text
    (bench / file).write_text(text.replace(old, new, 1))
    complaint = complaint_of(labloop("check", Q))
    for word in words:
        assert word in complaint
    assert re.search(r"\w+\.yaml:\d+:\d+: ", complaint), "file:line:column"


@pytest.mark.parametrize("what", ["wrong unit", "limit of the lab exceeded", "unknown driver", "duplicate key"])
def test_run_refuses_as_check_does_and_leaves_nothing(what: str, bench: Path, labloop: Any) -> None:
    file, old, new, words = BAD[what]
    (bench / file).write_text((bench / file).read_text().replace(old, new, 1))
    complaint = complaint_of(labloop("run", Q, "--virtual", "--run", "r1"))
    assert all(word in complaint for word in words)
    assert not (bench / "r1").exists()


def test_every_complaint_of_a_file_comes_at_once(bench: Path, labloop: Any) -> None:
    text = (bench / Q).read_text()
    for old, new in (("{range: [4.53", "{rnage: [4.53"), ("[10.0, 40.0]", "[40.0, 10.0]"), ("40}", "forty}")):
        text = text.replace(old, new, 1)
    (bench / Q).write_text(text)
    complaint = complaint_of(labloop("check", Q))
    assert [re.search(rf"{Q}:{line}:", complaint) is not None for line in (7, 8, 33)] == [True] * 3


COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "no such campaign": (["check", "cakes.yaml"], ["cakes.yaml", "no such file"]),
    "a folder": (["check", "."], ["folder"]),
    "no such verb": (["rum", Q], ["rum"]),
    "no such option": (["run", Q, "--virtul"], ["--virtul"]),
    "no campaign": (["run"], ["CAMPAIGN"]),
    "trials that are none": (["run", Q, "--trials", "0"], ["--trials 0", "above 0"]),
    "a speed that is none": (["run", Q, "--speed", "nan"], ["--speed nan", "above 0"]),
    "a seed that is none": (["run", Q, "--seed", "seven"], ["--seed': must be a whole number\n"]),
    "faults that are none": (
        ["run", Q, "--virtual", "--faults", "gremlins", "--run", "r9"],
        ["--faults gremlins", "known are"],
    ),
    "live and virtual": (["run", Q, "--live", "--yes", "--virtual"], ["--live and --virtual"]),
    "live without a terminal": (["run", Q, "--live"], ["--yes"]),
    "live and faster": (["run", Q, "--live", "--yes", "--speed", "10"], ["--speed 10", "Leave --speed out"]),
    "no such run": (["status", "runs/cake-1"], ["runs/cake-1", "no such run"]),
    "no run to resume": (["resume", "cake-1"], ["cake-1"]),
    "no run to watch": (["watch", "cake-1"], ["cake-1"]),
    "a folder that is no run": (["trials", "."], ["no journal.db"]),
    "no such format": (["trials", ".", "--format", "xlsx"], ["'--format': 'xlsx' is not one of"]),
    "a lab for a campaign": (["check", L], ["lab.yaml:1:1: the file: is a lab file, not a campaign"]),
    "a campaign for a lab": (["instruments", Q], [f"{Q}:1:1: the file: is a campaign, not a lab file"]),
    "a file for a run": (["status", Q], [f"{Q}: is a file, and a run is a folder"]),
    "no such schema": (["schema", "labs"], ["labs", "lab"]),
    "no such instrument": (["instruments", L, "pump_agno"], ["pump_agno", "pump_agno3"]),
    "no such action": (["instruments", L, "hotplate", "hodl"], ["hodl", "hold"]),
    "a setting that is none": (["instruments", L, "hotplate", "hold", "hot"], ["'hot'", "name=value"]),
    "less than nothing": (["instruments", L, "hotplate", "hold", "-5 degC"], ["'-5 degC'", "name=value"]),
    "nobody's name": (["instruments", L, "hotplate", "hold", "-5 degC", "--by"], ["'--by' requires an argument"]),
    "beyond the lab's limit": (["instruments", L, "hotplate", "hold", "temperature=90 degC", "time=1 s"], ["80 degC"]),
    "a campaign that cannot be run": (["run", "cake.yaml"], ["cake.yaml", "`lab:`", "labloop ask"]),
    "addresses into nowhere": (["simulate", L, "--addresses", "no/where.yaml"], ["no/where.yaml", "folder"]),
    "a driver without its class": (["conformance", "drivers.ika"], ["drivers.ika: is no driver", "drivers.ika:RCT"]),
    "a driver that is not there": (
        ["conformance", "drivers.nope:X"],
        ["instruments.nope.driver: there is no module drivers.nope in", "known: alicat, atlas, bronkhorst, cavro"],
    ),
    "a lab where none can be": (["new", f"{L}/mine"], ["lab.yaml/mine", "Name another place"]),
    "addresses over the lab": (["simulate", L, "--addresses", L], ["LAB itself"]),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_a_command_that_cannot_be(what: str, bench: Path, labloop: Any) -> None:
    arguments, words = COMMANDS[what]
    complaint = complaint_of(labloop(*arguments))
    for word in words:
        assert word in complaint
    assert not (bench / "runs").exists() and not (bench / "r9").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="a folder in which nobody can make a file, root neither")
def test_what_cannot_be_served_is_never_said_to_be(bench: Path, labloop: Any) -> None:
    complaint = complaint_of(labloop("simulate", L, "--addresses", "out.yaml", "--ledger", "/sys/ledger"))
    assert "/sys/ledger: " in complaint and "or name another place" in complaint and "serving" not in complaint
    (bench / "link").symlink_to("/dev/null")
    assert "link: is no plain file" in complaint_of(labloop("simulate", L, "--addresses", "link"))
    assert (bench / "link").is_symlink()


def test_a_second_writer_is_told_who_has_the_run(bench: Path, labloop: Any) -> None:
    assert labloop("ask", "cake.yaml", "--run", "r").code == 0
    with FileLock.take(bench / "r" / "journal.db.lock", "the run"):
        said = labloop("tell", "r", "1", "height=12")
    assert said.code == 5
    assert "process" in said.err and "Traceback" not in said.err


def test_a_port_that_is_not_there_is_the_benchs_fault(bench: Path, labloop: Any) -> None:
    said = labloop("instruments", L, "--live")
    assert said.code == 3
    assert "there is no such port" in said.err and "usb-FTDI_A1" in said.err
    said = labloop("run", Q, "--live", "--yes", "--run", "r")
    assert said.code == 3
    assert "there is no such port" in said.err


def test_a_store_of_a_newer_version_is_left_alone(bench: Path, labloop: Any) -> None:
    import sqlite3

    assert labloop("ask", "cake.yaml", "--run", "r").code == 0
    with sqlite3.connect(bench / "r" / "journal.db") as journal:
        journal.execute("PRAGMA user_version = 99")
    said = labloop("status", "r")
    assert said.code == 5
    assert "newer" in said.err


def test_a_campaign_that_was_changed_is_another_one(bench: Path, labloop: Any) -> None:
    assert labloop("ask", "cake.yaml", "--run", "r").code == 0
    (bench / "cake.yaml").write_text((bench / "cake.yaml").read_text().replace("[10, 90]", "[10, 95]"))
    complaint = complaint_of(labloop("ask", "cake.yaml", "--run", "r"))
    assert "another campaign" in complaint
    (bench / "r" / "campaign.yaml").write_text("labloop: 1\n")
    assert "was changed after the run began" in complaint_of(labloop("status", "r"))
