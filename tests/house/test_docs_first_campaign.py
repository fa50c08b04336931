"""The campaigns of the first tutorial are sound, and the question that it answers is really asked."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "first-campaign.md").read_text()
BLOCK = re.compile(r"^```yaml (\S+)\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^(?:\$ )?labloop (.*?)(?: +#.*)?$", re.M)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "campaigns", tmp_path / "campaigns", ignore=shutil.ignore_patterns("runs"))
    for name in ("drivers", "simulators"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name, text in BLOCK.findall(PAGE):
        (tmp_path / name).write_text(text)
    return tmp_path


def labloop(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "XDG_STATE_HOME": str(folder / "state")}
    return subprocess.run(
        [sys.executable, "-m", "labloop", *shlex.split(command)], cwd=folder, env=environment, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip


def section(title: str) -> list[str]:
    """The commands of one section, as they stand there."""
    text = PAGE[PAGE.index(title) :]
    return COMMAND.findall(text[: text.index("\n## ")])


def test_asked_and_told(folder: Path) -> None:
    ask, *tells = section("## 5.")
    asked = labloop(folder, ask)
    assert asked.returncode == 0, asked.stderr
    for line in asked.stdout.splitlines():
        assert line.rstrip() in PAGE
    for tell in tells:
        told = labloop(folder, tell)
        assert told.returncode == 0 and told.stdout.strip() in PAGE, told


def test_the_small_campaign_ends_as_the_page_says(folder: Path) -> None:
    assert labloop(folder, "check campaigns/silver-two.yaml").returncode == 0
    (command,) = section("## 6.")
    ran = labloop(folder, command)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0].rstrip() in PAGE


def test_a_question_is_asked_and_answered(folder: Path) -> None:
    dark, answer, resume = section("## 7.")
    halted = labloop(folder, dark)
    assert halted.returncode == 6, halted
    for line in halted.stderr.splitlines():
        assert not line.startswith("    ") or line in PAGE
    answered = labloop(folder, answer)
    assert answered.returncode == 0 and answered.stdout.strip() in PAGE, answered
    resumed = labloop(folder, resume)
    assert resumed.returncode in (3, 6) and resumed.stdout.splitlines()[0].rstrip() in PAGE, resumed
