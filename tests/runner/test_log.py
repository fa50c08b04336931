"""The log of a run: a full disk costs lines, which are counted, and nothing else."""

import json
import logging
import os
from pathlib import Path

import pytest

from labloop.runner.folder import JsonLines


def say(log: JsonLines, text: str) -> None:
    log.emit(logging.LogRecord("labloop.run", logging.WARNING, __file__, 1, text, (), None))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_full_disk_costs_lines_that_are_counted(tmp_path):
    path = tmp_path / "log.jsonl"
    path.symlink_to("/dev/full")
    log = JsonLines(path)
    say(log, "first")
    say(log, "second")
    path.unlink()  # room again: the next line begins a file of its own
    say(log, "third")
    say(log, "fourth")
    say(log, "fifth")
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["message"] for line in lines] == ["third", "fourth", "fifth"]
    assert lines[0]["missed"] == 2 and "missed" not in lines[1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_disk_that_lets_no_file_be_opened_any_more_costs_lines_and_nothing_else(tmp_path):
    path = tmp_path / "log.jsonl"
    path.symlink_to("/dev/full")
    log = JsonLines(path)
    path.unlink()
    path.symlink_to(tmp_path / "gone" / "log.jsonl")  # as on a file system that has turned read-only
    say(log, "first")
    say(log, "second")
    path.unlink()
    say(log, "third")
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["message"] for line in lines] == ["third"]
    assert lines[0]["missed"] == 2


def test_a_log_is_one_object_a_line(tmp_path):
    log = JsonLines(tmp_path / "log.jsonl")
    say(log, "one\ntwo \x1b[31m")
    log.close()
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["message"] == "one\ntwo \x1b[31m" and "\x1b" not in line
    assert os.path.getsize(tmp_path / "log.jsonl") < 300
