"""The address behind a target: from where it comes, and what is refused without showing it."""

import os
import sys
from pathlib import Path

import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.spec import read_lab_text
from labloop.campaign.targets import Target
from labloop.runner import addresses
from labloop.runner.addresses import address_of, complaints_about


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_variable_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONE", " slack://tokenA \n")
    assert address_of(Target(env="PHONE"), tmp_path) == "slack://tokenA"


def test_a_private_file_beside_the_lab_file_holds_it(tmp_path: Path) -> None:
    private(tmp_path / "phone", "slack://tokenA\n")
    assert address_of(Target(file="phone"), tmp_path) == "slack://tokenA"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions do not show in the mode there")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    private(tmp_path / "phone", "slack://tokenA").chmod(mode)
    with pytest.raises(SpecError, match=r"others may read this address .* chmod 600") as refused:
        address_of(Target(file="phone"), tmp_path)
    assert "tokenA" not in str(refused.value)


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in the file system there")
def test_a_pipe_in_its_place_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "phone", 0o600)
    with pytest.raises(SpecError, match="no plain file"):
        address_of(Target(file="phone"), tmp_path)


@pytest.mark.parametrize("file", ["~nobody_of_this_name/phone", "phone\0", "nowhere/phone"])
def test_a_file_that_is_not_there_is_said(tmp_path: Path, file: str) -> None:
    with pytest.raises(SpecError, match=r"cannot be read .* Put the address there"):
        address_of(Target(file=file), tmp_path)


@pytest.mark.parametrize("text", ["", "\n", "slack://tokenA\nslack://tokenB"])
def test_a_file_holds_one_address(tmp_path: Path, text: str) -> None:
    private(tmp_path / "phone", text)
    with pytest.raises(SpecError, match="one address") as refused:
        address_of(Target(file="phone"), tmp_path)
    assert "tokenA" not in str(refused.value)


def test_check_says_who_would_be_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET", "slack://tokenA")
    monkeypatch.delenv("UNSET", raising=False)
    text = """labloop: 1
instruments: {a: {driver: "d.x:X"}}
notify:
  one: {env: SET}
  two: {env: UNSET}
  three: {file: nowhere}
"""
    lab = read_lab_text(text, "lab.yaml", tmp_path)
    two, three = complaints_about(lab)
    assert two.startswith("lab.yaml:5:3: notify.two would be told nothing: the environment variable UNSET is not set")
    assert three.startswith("lab.yaml:6:3: notify.three would be told nothing:") and "nowhere: cannot be read" in three
    monkeypatch.setattr(addresses, "find_spec", lambda name: None)
    assert complaints_about(lab)[-1].endswith("Install it: pip install 'labloop[notify]'")
