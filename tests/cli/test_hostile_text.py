"""What instruments, files and people write never commands the terminal, whichever verb shows it."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.cli import words
from labloop.journal import Journal
from labloop.runner.told import Told

# The beginning of a command to a terminal (7 and 8 bits), the end of one, a bell, a turned direction of writing, a DEL.
EVIL = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202egnp.exe\u2066 \x7f\r\x08"
WORDS = [f"{EVIL}{n}" for n in range(20)]


@pytest.fixture
def run(here: Path) -> Path:
    """A run whose every free text was written by somebody who means ill."""
    from labloop.campaign.spec import read_spec

    folder = here / "r"
    with Told.begin(read_spec(here / "cake.yaml"), folder):
        pass
    settings: dict[str, e.Value] = {"sugar": 11.0, "oven": 180.0, "flour": WORDS[0]}
    step = e.StepStarted(
        step="s1", trial=1, phase="trial", stage=0, index=0, instrument=WORDS[1], action=WORDS[2],
        settings={"mode": e.Amount(WORDS[3])}, act=True,
    )  # fmt: skip
    with Journal.open(folder / "journal.db") as journal:
        journal.append(
            e.InstrumentIdentified(instrument=WORDS[1], model=WORDS[4], serial=WORDS[5], first_reply=WORDS[6]),
            e.ProposalMade(trial=1, sample=WORDS[7], settings=settings, source=WORDS[8], reason=WORDS[9]),
            e.RunStarted(),
            e.TrialStarted(trial=1),
            step,
            e.StepInDoubt(step="s1", question=WORDS[10], answers={"done": WORDS[11]}),
            e.TrialInDoubt(trial=1, reason=WORDS[12]),
            e.ProposalMade(trial=2, sample="S", settings=settings, source="sobol"),
            e.TrialMeasured(trial=2, outcomes={"height": e.Reading(value=1.0, flag=WORDS[13])}, by=WORDS[14]),
            e.ProposalMade(trial=3, sample="S", settings=settings, source="sobol"),
            e.TrialFailed(trial=3, reason=WORDS[15], by=WORDS[16]),
            e.NoteTaken(text=WORDS[17], by=WORDS[18]),
            e.CampaignHalted(reason=WORDS[19]),
        )
    return folder


def harmless(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize(
    "command", [["status"], ["status", "--json"], ["trials"], ["trials", "--json"]], ids=" ".join
)
def test_readers_show_it_disarmed(command: list[str], run: Path, labloop: Any) -> None:
    said = labloop(command[0], "r", *command[1:])
    assert said.code == 0 and harmless(said.out) and harmless(said.err), said
    assert "gnp.exe" in said.out


def test_json_says_the_same_as_was_written(run: Path, labloop: Any) -> None:
    document = labloop("status", "r", "--json").document
    assert document["reason"] == WORDS[19] and document["notes"][0]["text"] == WORDS[17]
    assert labloop("trials", "r", "--json").document["trials"][2]["reason"] == WORDS[15]


def test_csv_is_exact_in_a_pipe_and_disarmed_on_a_terminal(run: Path, here: Path) -> None:
    command = [sys.executable, "-m", "labloop", "trials", "r", "--format", "csv"]
    piped = subprocess.run(command, cwd=here, capture_output=True, check=True, timeout=300).stdout.decode()
    assert WORDS[15] in piped
    master, slave = pty.openpty()
    process = subprocess.Popen(command, cwd=here, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:  # the other end is closed: all was read
        pass
    os.close(master)
    assert process.wait() == 0
    assert b"gnp.exe" in shown and harmless(shown.decode().replace("\r\n", "\n"))


def test_a_refused_file_is_quoted_disarmed(here: Path, labloop: Any) -> None:
    text = (here / "cake.yaml").read_text()
    (here / "evil.yaml").write_text(text + '"\\e[2J\\u202e\\x9bkey": 1\n? ' + "k" * 200_000 + "\n: 1\n")
    said = labloop("check", "evil.yaml")
    assert said.code == 2 and harmless(said.err) and len(said.err) < 2000
    assert "unknown key" in said.err


@pytest.mark.parametrize("text", [EVIL, "µm · é 中 😀", "a\tb\nc"])
def test_json_is_the_same_document(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    words.give_json({"a": text})
    words.give_json_line({"a": text})
    out = capsys.readouterr().out
    assert harmless(out)
    assert json.loads(out[: out.rindex("{")])["a"] == text == json.loads(out[out.rindex("{") :])["a"]
    assert "µm · é 中 😀" in out or text != "µm · é 中 😀"
