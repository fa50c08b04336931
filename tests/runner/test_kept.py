"""What a run was begun with is what it goes on with: changed copies, originals and code are refused, and shown."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.state import fold
from labloop.journal import Journal, StoreDamaged, StoreError
from labloop.runner import folder as run_files
from labloop.runner.folder import Order
from labloop.runner.kept import kept_spec, refuse_other_code
from labloop.runner.look import see, verify
from labloop.runner.sources import _imported, sources

DRIVER = '''
"""A box that does nothing."""
from labloop.bench import Driver, Identity, Progress, action
from .words import HELLO


class Box(Driver):
    """A box."""

    kind = "box"

    def open(self):
        return Identity(model=HELLO)

    @action(act=False)
    def look(self):
        """Look."""

    def progress(self, elapsed_s):
        return Progress(done=True)

    def stop(self):
        """Stop."""
'''
SIMULATOR = '''
"""Another one."""
import json


class Box:
    """B."""

    kind = "serial"

    def __init__(self, world, name, options):
        self.name = name
'''
LAB = """
labloop: 1
name: small
instruments:
  box: {driver: "boxes.box:Box", simulator: "boxes.simulated:Box", port: "sim:"}
"""
CAMPAIGN = """
labloop: 1
campaign: small
lab: ../bench/lab.yaml
parameters:
  x: {range: [0, 1]}
  s: {choices: solvents.csv}
outcomes:
  y: {goal: minimize, from: told}
trial:
  - box.look: {}
budget: {trials: 3}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A lab and a campaign in two folders, and a begun run."""
    package = f"boxes_{abs(hash(tmp_path))}"
    bench, plans = tmp_path / "bench", tmp_path / "plans"
    (bench / package).mkdir(parents=True)
    (bench / "drivers").mkdir()
    plans.mkdir()
    (bench / package / "box.py").write_text(DRIVER)
    (bench / package / "words.py").write_text('"""Words."""\nHELLO = "hello"\n')
    (bench / package / "simulated.py").write_text(SIMULATOR)
    (bench / "lab.yaml").write_text(LAB.replace("boxes", package))
    (plans / "plan.yaml").write_text(CAMPAIGN)
    (plans / "solvents.csv").write_text("name,polarity\nDMF,3\nDMSO,7\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def order(place: Path, **more) -> Order:
    return Order(campaign=place / "plans" / "plan.yaml", run=place / "run", virtual=True, **more)


@pytest.fixture
def begun(place):
    _, _, _, opened = run_files.create(order(place))
    with Journal.create(place / "run" / "journal.db") as journal:
        journal.append(opened)
    return opened


def package_of(place: Path) -> str:
    return next(path.name for path in (place / "bench").iterdir() if path.name.startswith("boxes_"))


def test_every_file_and_the_code_are_hashed_into_the_first_fact(place, begun):
    package = package_of(place)
    assert set(begun.files) == {"../bench/lab.yaml", "solvents.csv"}
    assert list(begun.code) == [f"{package}/box.py", f"{package}/simulated.py", f"{package}/words.py"]
    assert verify(place / "run") == {"rows": 1, "blobs": 5, "files": 2}


def test_a_live_run_is_not_held_to_the_simulators_code(place):
    _, _, lab, _ = run_files.create(order(place))
    assert [name.rpartition("/")[2] for name in sources(lab, simulators=False)] == ["box.py", "words.py"]


def test_what_a_driver_imports_is_found_behind_however_many_branches():
    branches = "".join(f"elif sys.argv == {n}:\n    import a.b{n}\n" for n in range(1500))
    assert "a.b1499" in _imported(f"if 0:\n    pass\n{branches}".encode(), "a", True)


@pytest.mark.parametrize(
    ("name", "old", "new"), [("campaign.yaml", "minimize", "maximize"), ("lab.yaml", "sim:", "sim:x")]
)
def test_a_changed_copy_is_shown_and_can_be_put_back(place, begun, name, old, new):
    copy = place / "run" / name
    copy.write_text(copy.read_text().replace(old, new))
    with pytest.raises(SpecError) as caught:
        run_files.read(place / "run")
    said = str(caught.value)
    assert f"{name}: was changed after the run began" in said
    assert any(line.startswith("-") and old in line for line in said.splitlines())
    assert any(line.startswith("+") and new in line for line in said.splitlines())
    assert "@@ -" in said and len(said) < 3000
    command = said[said.index("(cp ") + 4 : said.index(")", said.index("(cp "))]
    shutil.copy(*command.split())
    run_files.read(place / "run")
    with pytest.raises(SpecError, match="was changed"):
        copy.write_bytes(copy.read_bytes() + b"\n")
        verify(place / "run")


@pytest.mark.parametrize("name", ["campaign.yaml", "lab.yaml"])
def test_a_copy_that_is_gone_is_named(place, begun, name):
    (place / "run" / name).unlink()
    with pytest.raises(SpecError, match=f"{name}: cannot be read.*Put the old text back"):
        run_files.read(place / "run")


def test_a_named_file_that_was_altered_among_the_blobs_is_named(place, begun):
    blob = place / "run" / "blobs" / begun.files["solvents.csv"]
    blob.write_bytes(blob.read_bytes().replace(b"DMSO,7", b"DMSO,9"))
    for look in (run_files.read, see, verify):
        with pytest.raises(StoreDamaged, match=f"{blob.name}: this blob is damaged"):
            look(place / "run")


def test_the_copy_that_the_campaign_is_put_back_from_is_verified_too(place, begun):
    blob = place / "run" / "blobs" / begun.campaign_sha256
    blob.write_bytes(blob.read_bytes() + b"\n")
    with pytest.raises(StoreDamaged, match=f"{blob.name}: this blob is damaged"):
        verify(place / "run")
    blob.unlink()  # as of an older run, which kept none
    assert verify(place / "run")["files"] == 2


def test_a_hash_that_is_a_path_leads_nowhere(place, begun):
    with pytest.raises(StoreError, match="names no blob"):
        kept_spec(place / "run", _with(begun, files={"../bench/lab.yaml": "../../secret", "solvents.csv": "x"}))


def test_a_file_of_which_no_copy_was_kept_is_not_looked_for_elsewhere(place, begun):
    """Else a run's folder from somebody else could read this machine's files."""
    with pytest.raises(SpecError, match=r"solvents\.csv.*no file of which this run kept a copy"):
        kept_spec(place / "run", _with(begun, files={}))


def _with(opened, **more):
    import msgspec

    return fold([e.Record(1, "", msgspec.structs.replace(opened, **more))])


def test_the_original_may_change_and_a_resume_reads_the_copies(place, begun):
    (place / "plans" / "plan.yaml").write_text("nonsense")
    (place / "plans" / "solvents.csv").unlink()
    (place / "bench" / "lab.yaml").write_text("nonsense")
    _, spec, lab = run_files.read(place / "run")
    assert spec.campaign == "small" and list(lab.instruments) == ["box"]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("plans/plan.yaml", "[0, 1]", "[0, 2]"),
        ("plans/solvents.csv", "DMF,3", "DMF,4"),
        ("bench/lab.yaml", "name: small", "name: large"),
    ],
)
def test_a_changed_original_given_again_is_refused_with_the_difference(place, begun, file, old, new):
    run_files.refuse_other(place / "run", order(place))
    path = place / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(SpecError) as caught:
        run_files.refuse_other(place / "run", order(place))
    said = str(caught.value)
    assert "another campaign (or of another text of its files)" in said and "labloop resume" in said
    assert f"labloop amend {place / 'run'}" in said
    assert any(line.startswith("-") and old in line for line in said.splitlines())
    assert any(line.startswith("+") and new in line for line in said.splitlines())


def test_a_byte_order_mark_is_no_difference(place):
    path = place / "plans" / "plan.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    _, _, _, opened = run_files.create(order(place))
    with Journal.create(place / "run" / "journal.db") as journal:
        journal.append(opened)
    run_files.refuse_other(place / "run", order(place))


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"seed": 9}, "seed 0"),
        ({"faults": "lost=0.1"}, "faults None"),
        ({"live": True, "virtual": False}, "mode virtual"),
    ],
)
def test_another_order_is_not_taken_for_the_same_run(place, begun, more, word):
    import dataclasses

    with pytest.raises(SpecError, match=f"was begun with {word}"):
        run_files.refuse_other(place / "run", dataclasses.replace(order(place), **more))


def test_changed_code_is_refused_with_the_difference(place, begun):
    package = package_of(place)
    _, _, lab = run_files.read(place / "run")
    refuse_other_code(place / "run", begun.code, sources(lab, simulators=True))
    words = place / "bench" / package / "words.py"
    words.write_text(words.read_text().replace("hello", "goodbye"))
    (place / "bench" / package / "box.py").write_text(DRIVER.replace(".words", f"{package}.words") + "import os\n")
    with pytest.raises(SpecError) as caught:
        refuse_other_code(place / "run", begun.code, sources(lab, simulators=True))
    said = str(caught.value)
    assert '-HELLO = "hello"' in said and '+HELLO = "goodbye"' in said and "+import os" in said
    assert "--new-code --why" in said


def test_a_run_whose_lab_lies_elsewhere_is_read_and_its_resume_says_what_is_missing(place, begun):
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    shutil.move(place / "run", elsewhere / "run")
    shutil.move(place / "bench", place / "moved")
    shutil.rmtree(place / "plans")
    seen = see(elsewhere / "run")
    assert seen.status()["campaign"] == "small" and seen.trials()["trials"] == []
    with pytest.raises(SpecError, match=r"origin\.json: the lab's folder .*bench is not here.*Write \{"):
        run_files.read(elsewhere / "run")
    (elsewhere / "run" / "origin.json").write_text(json.dumps({"lab_folder": str(place / "moved")}))
    folder, _, _ = run_files.read(elsewhere / "run")
    assert folder.lab_folder == place / "moved"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"lab_folder": 5}', '{"lab_folder": "\\u0000"}', "\x00" * 99])
def test_an_origin_that_says_nothing_is_named(place, begun, text):
    (place / "run" / "origin.json").write_text(text)
    with pytest.raises(SpecError, match=r"origin\.json: (does not say where|the lab's folder)"):
        run_files.read(place / "run")


def test_a_lab_given_at_the_command_line_is_the_runs(place):
    """Also when the campaign names another, which is not there any more."""
    shutil.copy(place / "bench" / "lab.yaml", place / "bench" / "other.yaml")
    (place / "plans" / "plan.yaml").write_text(CAMPAIGN.replace("../bench/lab.yaml", "nowhere.yaml"))
    _, _, _, opened = run_files.create(order(place, lab=place / "bench" / "other.yaml"))
    with Journal.create(place / "run" / "journal.db") as journal:
        journal.append(opened)
    assert see(place / "run").spec.campaign == "small"
    run_files.read(place / "run")


def test_two_files_under_one_name_are_refused(place):
    rows = "".join(f"{x},{x * x}\n" for x in range(12))
    (place / "bench" / "solvents.csv").write_text(f"x,y\n{rows}")
    lab = place / "bench" / "lab.yaml"
    lab.write_text(lab.read_text() + "sample: {response: solvents.csv, inputs: [x], output: y, pumps: {x: box}}\n")
    with pytest.raises(SpecError, match=r"solvents\.csv: campaign and lab both name this file, and mean"):
        run_files.create(order(place))
    assert not (place / "run").exists()


def test_a_runs_folder_is_private_and_never_somebody_elses(place, begun):
    run = place / "run"
    for folder in (run, run / "blobs", run / "requests"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    home = place / "home"
    home.mkdir(mode=0o755)
    (home / "thesis.tex").write_text("do not touch")
    with pytest.raises(SpecError, match=r"home: holds other things \(thesis\.tex\) and no run"):
        run_files.create(Order(campaign=place / "plans" / "plan.yaml", run=home, virtual=True))
    assert stat.S_IMODE(home.stat().st_mode) == 0o755 and os.listdir(home) == ["thesis.tex"]


def test_a_beginning_that_was_cut_short_can_be_begun_again(place, begun):
    (place / "run" / "journal.db").unlink()
    (place / "run" / "blobs" / ".part-xyz").write_text("half")
    run_files.create(order(place))
