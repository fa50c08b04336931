"""Broken campaign files: each complaint names the place, the value, the rule and the way out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.spec import check_against_lab, read_lab, read_spec, spec_from_dict

Q = "{range: [4.53, 42.81], unit: percent}"
OUTCOME = "{goal: minimize, from: spectrum, analysis: distance_to_target, target: target.csv}"

# (what is replaced by what, what is added at the end, where the complaint points, words it has)
BAD: list[tuple[str, str, str, str, list[str]]] = [
    ("campaign: silver", "campain: silver", "", "2:1", ["campain: unknown key", "Did you mean campaign?"]),
    ("campaign: silver-nanoparticles", "campaign: a/b", "", "2:11", ["campaign = a/b", "letters, digits"]),
    ("parameters:", "paramters:", "", "6:1", ["unknown key", "Did you mean parameters?"]),
    ("labloop: 1", "labloop: 2", "", "1:10", ["labloop = 2", "Write labloop: 1"]),
    ("lab: lab.yaml", "lab: lba.yaml", "", "4:6", ["lab = lba.yaml", "there is no file"]),
    ("range: [4.53", "rnage: [4.53", "", "7:13", ["parameters.q_agno3.rnage", "Did you mean range?"]),
    ("[4.53, 42.81]", "[42.81, 4.53]", "", "7:20", ["q_agno3.range = [42.81, 4.53]", "low bound must be below"]),
    ("[4.53, 42.81]", "[4.53, 4.53]", "", "7:20", ["low bound must be below"]),
    ("[4.53, 42.81]", "[.nan, 42.81]", "", "7:21", ["range[0] = nan", "not a finite number"]),
    ("[4.53, 42.81]", "[4.53, 1e999]", "", "7:27", ["range[1]", "not a finite number"]),
    ("[4.53, 42.81]", "[4.53]", "", "7:20", ["must be two bounds"]),
    ("[4.53, 42.81]", "[4.53, 40 K]", "", "7:27", ["40 K", "a temperature", "percent"]),
    ("[4.53, 42.81]", "[4.53, high]", "", "7:27", ["range[1] = high", "not a number"]),
    ("[4.53, 42.81]", "['4,5', 42.81]", "", "7:21", ["comma"]),
    ("[4.53, 42.81]", "[0, 42.81], scale: log", "", "7:20", ["log scale needs bounds above 0"]),
    ("[4.53, 42.81]", "[4.53, 42.81], scale: lgo", "", "7:42", ["one of linear, log", "Did you mean log?"]),
    ("[4.53, 42.81]", "[4.53, 42.81], step: -1", "", "7:41", ["step = -1", "above 0"]),
    ("[4.53, 42.81]", "[4.53, 42.81], step: 50", "", "7:41", ["wider than the whole range"]),
    ("[4.53, 42.81]", "[4.53, 42.81], integer: true", "", "7:20", ["whole bounds"]),
    ("unit: uL/min", "unit: uL/mim", "", "9:38", ["q_tot.unit = uL/mim", "not a unit", "Did you mean min?"]),
    (Q, "5", "", "7:12", ["parameters.q_agno3 = 5", "keys and values"]),
    (Q, "{choices: [1, 2, 1.0]}", "", "7:29", ["choices[2]", "stands twice"]),
    (Q, "{choices: []}", "", "7:22", ["is empty"]),
    (Q, "{choices: [DMF, .nan]}", "", "7:28", ["finite number or a word"]),
    (Q, "{choices: nofile.csv}", "", "7:22", ["there is no file"]),
    (Q, "{choices: solvents.csv, descriptors: [dipol]}", "", "7:13", ["has no column dipol"]),
    (Q, "{choices: solvents.csv, descriptors: [logP]}", "", "7:13", ["choices[2]", "logP", "not a number"]),
    (Q, "{choices: [DMF, DMSO], ordered: yes}", "", "7:44", ["ordered = yes", "true or false"]),
    (Q, "{molecules: [CCO, not a smiles]}", "", "7:30", ["is no SMILES"]),
    (Q, "{molecules: [CCO, [NH4+]]}", "", "7:30", ["molecules[1] = [NH4+]", "brackets in quotes"]),
    (Q, "{choices: [[K+], Na]}", "", "7:23", ["choices[0] = [K+]", "brackets in quotes"]),
    (Q, "{mixture: [A, A]}", "", "7:22", ["twice"]),
    (Q, "{mixture: [A, q_pva], sum: 1}", "", "7:26", ["q_pva is a parameter already"]),
    (Q, "{mixture: [A, B], at_most: 3}", "", "7:39", ["only 2 components"]),
    (Q, "{mixture: [A, B], descriptors: [dipole]}", "", "7:22", ["descriptors need a table"]),
    (Q, "{mixture: [{name: A, x: 1}, {name: B, x: 2}]}", "", "7:33", ["mixture[0].x", "Write descriptors: [x]"]),
    (Q, "{mixture: [{name: A, x: 1}, {name: B}], descriptors: [x]}", "", "7:40", ["mixture[1]", "has no column x"]),
    (Q, "{mixture: [{name: A, x: 1}, {name: B, x: b}], descriptors: [x]}", "", "7:40", ["x = 'b' is not a number"]),
    (Q, "{mixture: [{x: 1}, {name: B, x: 1}], descriptors: [x]}", "", "7:23", ["mixture[0]", "has no name"]),
    (Q, "{mixture: [{name: A, smiles: O}, B]}", "", "7:45", ["mixture[1] = B: has no smiles", "or none"]),
    (Q, "{mixture: [{name: A, smiles: not a smiles}, B]}", "", "7:23", ["is no SMILES"]),
    (Q, "{mixture: nofile.csv}", "", "7:22", ["there is no file"]),
    (Q, "{mixture: solvents.csv, descriptors: [dipol]}", "", "7:13", ["mixture[0]", "has no column dipol"]),
    ("unit: uL/min}", "unit: uL/min, active_when: solvent == DMF}", "", "9:59", ["solvent is no parameter"]),
    ("<= 70 percent", "<= 1 percent", "", "11:5", ["constraints[0]", "leaves no point"]),
    ("<= 70 percent", "<= -1e308 percent", "", "11:5", ["constraints[0]", "leaves no point"]),
    ("<= 70 percent", "<= 1", "", "11:5", ["could be a fraction", "100 percent"]),
    ("<= 70 percent", "<= 70 mL", "", "11:5", ["70 mL is a volume"]),
    ("<= 70 percent", "= 70 percent", "", "11:5", ["Write == to compare"]),
    ("<= 70 percent", "<= 70 percent <= 80 percent", "", "11:5", ["two constraints"]),
    ("<= 70 percent", "< 70 percent", "", "11:5", ["Write <= instead of <"]),
    ("q_agno3 + q_pva <=", "q_agno3 + q_pav <=", "", "11:5", ["q_pav is no parameter", "Did you mean q_pva?"]),
    ("<= 70 percent", "<= 70 percent\n  - q_agno3 >= 60 percent", "", "12:5", ["leaves no point"]),
    ("<= 70 percent", "<= 70 percent\n  - q_agno3 - q_pva >= 20 percent\n  - q_agno3 - 2 * q_pva <= -25 percent", "",
     "10:1", ["leave no point that keeps them all"]),
    ("goal: minimize", "gaol: minimize", "", "14:19", ["unknown key", "Did you mean goal?"]),
    ("goal: minimize", "goal: minimise", "", "14:25", ["Did you mean minimize?"]),
    ("goal: minimize", "goal: {target: 5 nm, tolerence: 1}", "", "14:40", ["tolerence", "unknown key"]),
    ("goal: minimize", "goal: {target: 5 nm}", "", "14:34", ["5 nm is a length"]),
    ("from: spectrum", "from: spectra", "", "14:41", ["no step of trial saves 'spectra'", "Did you mean spectrum?"]),
    ("from: spectrum, ", "", "", "14:18", ["from is missing"]),
    ("analysis: distance_to_target", "analysis: distance_to_traget", "", "14:61", ["Did you mean distance_to_target?"]),
    (", target: target.csv", "", "", "14:18", ["target is missing"]),
    ("target: target.csv", "target: nofile.csv", "", "14:89", ["there is no file"]),
    ("target: target.csv", "target: rows.csv", "", "14:89", ["columns wavelength_nm and absorbance"]),
    ("target: target.csv", "target: target.csv, unit: nm", "", "14:107", ["pure number"]),
    ("target: target.csv", "target: target.csv, limit: < 5", "", "14:108", ["must be a bound"]),
    (OUTCOME, "{goal: maximize, from: told, expect_within: 2}", "", "14:62", ["is a time and needs a unit"]),
    (OUTCOME, OUTCOME + "\n  b: {goal: maximize, from: told, weight: 2}", "", "14:18", ["has no weight"]),
    (OUTCOME, "{limit: '<= 12', from: told}", "", "13:1", ["none has a goal"]),
    ("spectrum_loss:", "q_tot:", "", "14:10", ["is a parameter already"]),
    ("$q_tot * $q_agno3", "$q_tott * $q_agno3", "", "18:37", ["$q_tott is no parameter", "Did you mean q_tot?"]),
    ("$q_tot * $q_agno3", "q_tot * q_agn03", "", "18:37", ["q_agn03 is no parameter"]),
    ("$q_tot * $q_agno3", "$q_tot + $q_agno3", "", "18:37", ["pure number", "volume flow"]),
    ("$q_tot * $q_agno3", "$q_tot * (1 - $q_agno3)", "", "18:37", ["could be a fraction"]),
    ("$q_tot * $q_agno3", "$q_tot * * $q_agno3", "", "18:37", ["does not go on with '*'"]),
    ("time: 20 s}", "time: 20 sx}", "", "18:62", ["time = 20 sx", "'sx' is not a unit"]),
    ("time: 20 s}", "time: }", "", "18:61", ["has no value"]),
    ("start_within: 5 min", "start_within: 5", "", "23:19", ["is a time and needs a unit"]),
    ("start_within: 5 min", "start_withing: 5 min", "", "23:5", ["unknown key", "Did you mean start_within?"]),
    ("start_within: 5 min", "start_within: -5 min", "", "23:19", ["longer than 0 s"]),
    ("if_interrupted: discard", "if_interrupted: discrad", "", "20:21", ["Did you mean discard?"]),
    ("pump_water.dispense:", "pump_agno3.dispense:", "", "19:9", ["two things at once"]),
    ("  - hotplate.hold: ", "  - hotplate: ", "", "21:5", ["unknown key", "instrument.action"]),
    ("{integration: 100 ms, save_as: spectrum}", "5", "", "22:28", ["settings in braces"]),
    ("cleanup:", "  - camera.read: {save_as: spectrum}\ncleanup:", "", "24:28", ["saved by spectrometer.measure"]),
    ("batch: 1", "batch: 1.5", "", "27:54", ["design.batch = 1.5", "whole number"]),
    ("method: sobol", "method: sobl", "", "27:28", ["Did you mean sobol?"]),
    ("seed: 7", "seed: -7", "", "27:63", ["from 0 to"]),
    ("{trials: 40}", "{trials: -3}", "", "28:18", ["budget.trials = -3", "at least 1"]),
    ("", "", "remeasure: 1000000000", "30:12", ["remeasure = 1000000000", "1000 at the most"]),
    ("", "", "remake: 1001", "30:9", ["remake = 1001", "1000 at the most"]),
    ("{trials: 40}", "{trials: 40, attempts: 3}", "", "28:32", ["below the 40 trials"]),
    ("{trials: 40}", "{trials: 40, time: 3 mL}", "", "28:28", ["3 mL is a volume"]),
    ("20 trials", "20 apples", "", "29:29", ["counts trials"]),
    ("", "", "teaches: stall\n", "30:10", ["must be a list"]),
    ("", "", "approval: robot\n", "30:11", ["must be one of human"]),
    ("", "", "remake: 0\n", "30:9", ["at least 1"]),
    ("", "", "engine: 5\n", "30:9", ["keys and values"]),
    ("", "", "pause: {hold: 30}\n", "30:15", ["needs a unit"]),
    ("", "", "setup:\n  - hotplate.hold: {temperature: $q_tot}\n", "31:34", ["belongs to no trial"]),
    ("", "", "every: [{trials: 20, control: {q_agno3: 20, q_pvaa: 3}}]\n", "30:45", ["Did you mean q_pva?"]),
    ("", "", "every: [{trials: 20}]\n", "30:9", ["one of do, control or blank"]),
    ("", "", "limits: {hotplate: {temperature: {mx: 80 degC}}}\n", "30:35", ["Did you mean max?"]),
    ("", "", "limits: [hotplate.temperature <= 80 degC when solvent == DCM]\n", "30:10", ["solvent is no parameter"]),
    ("", "", "limits: [hotplate <= 80 degC]\n", "30:10", ["bounds no instrument.setting"]),
    ("", "", "candidates: target.csv\n", "30:13", ["row 1 has no column q_agno3"]),
    ("[4.53, 42.81]", "[4.53, 17]", "candidates: rows.csv\n", "30:13", ["row 2: q_agno3", "above the high bound"]),
    ("", "", "candidates: nofile.csv\n", "30:13", ["there is no file"]),
    ("", "", "budget: {trials: 3}\n", "30:1", ["stands twice", "first in line 28"]),
    ("parameters:", "parameters: &all", "cleanup2: *all\n", "30:1", ["cleanup2: unknown key", "Did you mean cleanup?"]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "add", "where", "words"), BAD, ids=[f"{b[1] or b[2]!r}"[:50] for b in BAD])
def test_each_complaint_names_place_value_rule_and_way_out(
    broken: Callable[..., Path], old: str, new: str, add: str, where: str, words: list[str]
) -> None:
    path = broken("campaign.yaml", *([(old, new)] if old else []), add=add)
    with pytest.raises(SpecError) as raised:
        read_spec(path)
    text = "\n".join(raised.value.complaints)
    assert any(line.startswith(f"{path}:{where}: ") for line in raised.value.complaints), text
    for word in words:
        assert word in text
    assert all(len(line) < 600 for line in raised.value.complaints)


def test_all_complaints_of_a_file_come_at_once_in_its_order_and_without_echoes(broken: Callable[..., Path]) -> None:
    path = broken(
        "campaign.yaml",
        ("campaign: silver", "campain: silver"),
        (Q, "{range: [5, 1], unti: percent}"),
        ("<= 70 percent", "<= 70 mL"),
        ("$q_tot * (100", "$q_tott * (100"),
        ("save_as: spectrum", "save_as: spectra"),
        ("trials: 40", "trials: none"),
    )
    with pytest.raises(SpecError) as raised:
        read_spec(path)
    lines = [complaint.removeprefix(f"{path}:").split(":")[0] for complaint in raised.value.complaints]
    assert lines == ["2", "7", "7", "14", "19", "28"], raised.value


@pytest.mark.parametrize(
    ("old", "new"),
    [("campaign: silver", "campain: silver"), ("parameters:", "paramters:"), ("outcomes:", "outcome:"),
     ("range: [4.53", "rnage: [4.53"), ("goal: minimize", "gaol: minimize"), ("constraints:", "constrants:")],
)  # fmt: skip
def test_a_misspelt_key_is_one_complaint(broken: Callable[..., Path], old: str, new: str) -> None:
    with pytest.raises(SpecError) as raised:
        read_spec(broken("campaign.yaml", (old, new)))
    assert len(raised.value.complaints) == 1 and "unknown key. Did you mean" in str(raised.value), raised.value


def test_a_dict_is_told_the_path_without_a_line(folder: Path) -> None:
    with pytest.raises(SpecError) as raised:
        spec_from_dict({"parameters": {"x": {"range": [5, 1]}}, "outcomes": {"yield": {"goal": "maximize"}}})
    assert raised.value.complaints[0].startswith("parameters.x.range = [5, 1]: the low bound")


@pytest.mark.parametrize("written", [None, 5, "campaign", [], {}])
def test_what_is_no_campaign_is_refused(written: object) -> None:
    with pytest.raises(SpecError):
        spec_from_dict(written)  # type: ignore[arg-type]


def test_the_caller_s_dict_stays_as_it_was() -> None:
    written = {"parameters": {"x": {"rnage": [5, 1]}}, "outcomes": {"yield": {"goal": "maximize"}}}
    with pytest.raises(SpecError):
        spec_from_dict(written)
    assert written == {"parameters": {"x": {"rnage": [5, 1]}}, "outcomes": {"yield": {"goal": "maximize"}}}


def test_files_that_cannot_be_read(folder: Path) -> None:
    (folder / "bytes.yaml").write_bytes(b"labloop: 1\ntitle: \xff\n")
    (folder / "empty.yaml").write_text("")
    (folder / "list.yaml").write_text("- a\n")
    for name, word in {
        "none.yaml": "there is no such file", ".": "is a folder", "bytes.yaml": ":2:8: the byte", "empty.yaml": "empty",
        "list.yaml": ":1:1: the file is a list",
    }.items():  # fmt: skip
        with pytest.raises(SpecError) as raised:
            read_spec(folder / name)
        assert word in str(raised.value)


def test_a_campaign_that_does_not_fit_its_lab(broken: Callable[..., Path], folder: Path) -> None:
    path = broken(
        "campaign.yaml",
        ("pump_water.dispense", "pump_watr.dispense"),
        add="limits: {hotplate: {temperature: {max: 90 degC}}, hotplat: {plate: {max: 50 degC}}}\n",
    )
    complaints = check_against_lab(read_spec(path), read_lab(folder / "lab.yaml"))
    assert len(complaints) == 3
    assert complaints[0].startswith(f"{path}:19:9: ") and "Did you mean pump_water?" in complaints[0]
    assert "90 degC is looser than the lab's 80 degC" in complaints[1] and "lab.yaml:10:24" in complaints[1]
    assert "hotplat is no instrument of the lab" in complaints[2]


def test_a_pause_may_be_shorter_than_the_labs_and_not_longer(broken: Callable[..., Path], folder: Path) -> None:
    lab = read_lab(broken("lab.yaml", add="pause: {hold: 20 min}\n"))
    path = broken("campaign.yaml", add="pause: {hold: 2 h, then: safe}\n")
    (complaint,) = check_against_lab(read_spec(path), lab)
    assert complaint.startswith(f"{path}:30:15: ")
    assert "is longer than the lab's 20 min" in complaint and "lab.yaml:16:15" in complaint
    shorter = broken("campaign.yaml", ("hold: 2 h", "hold: 10 min"))
    assert check_against_lab(read_spec(shorter), lab) == []
