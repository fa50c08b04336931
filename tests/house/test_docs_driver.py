"""The tutorial on writing a driver, followed literally."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(?:python|yaml) (\S+)\n(.*?)^```$", re.M | re.S)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    for name, text in BLOCK.findall((ROOT / "docs" / "writing-a-driver.md").read_text()):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def labloop(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "labloop", *arguments], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def test_the_bath_is_identified_read_and_moved_by_hand(lab: Path) -> None:
    seen = labloop(lab, "instruments", "lab.yaml")
    assert seen.returncode == 0 and "BATH 2000" in seen.stdout, seen
    moved = labloop(lab, "instruments", "lab.yaml", "bath", "heat", "temperature=40")
    assert moved.returncode == 0, moved
    refused = labloop(lab, "instruments", "lab.yaml", "bath", "heat", "temperature=70 degC")
    assert refused.returncode != 0 and "60 degC" in refused.stdout + refused.stderr, refused


def test_the_tutorials_campaign_is_checked_and_run(lab: Path) -> None:
    assert labloop(lab, "check", "warm.yaml").returncode == 0
    ran = labloop(lab, "run", "warm.yaml", "--virtual", "--run", "out")
    assert ran.returncode == 0, ran
    assert "best" in ran.stdout + ran.stderr


def test_the_tutorials_driver_keeps_every_rule(lab: Path) -> None:
    proved = labloop(lab, "conformance", "drivers.bath:Bath")
    assert proved.returncode == 0 and "BROKEN" not in proved.stdout and "faults" in proved.stdout, proved


def test_the_tutorials_tests_pass_and_notice_a_broken_driver(lab: Path) -> None:
    def pytest_() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(lab), "tests"],
            cwd=lab, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    sound = pytest_()
    assert sound.returncode == 0, sound.stdout
    driver = lab / "drivers" / "bath.py"
    text = driver.read_text()
    assert text.count('self._ask("H off")') == 1
    driver.write_text(text.replace('self._ask("H off")', 'self._ask("H?")'))
    assert pytest_().returncode == 1


def test_the_tutorials_code_is_tidy(lab: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "120", "--ignore", "I001", "."],
        cwd=lab, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
