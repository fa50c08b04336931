"""What --help says: how a verb is written, in words that a chemist reads."""

import re
from typing import Any

import pytest

from labloop.cli.app import app

VERBS = [str(verb.name) for verb in app.registered_commands]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal as they were."""
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(
    ("verb", "usage"),
    [
        ("run", "[OPTIONS] CAMPAIGN"),
        ("watch", "[OPTIONS] [RUN]"),
        ("tell", "[OPTIONS] RUN [TRIAL] [name=value ...]"),
        ("instruments", "[OPTIONS] LAB [NAME] [ACTION] [setting=value ...]"),
        ("ports", "[OPTIONS]"),
    ],
)
def test_the_usage_is_as_one_types_it(verb: str, usage: str, labloop: Any) -> None:
    assert labloop(verb, "--help").out.splitlines()[0] == f"Usage: labloop {verb} {usage}"


def test_every_verb_has_a_line_that_is_not_cut_off(labloop: Any) -> None:
    lines = labloop("--help").out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == VERBS, "a line each"
    assert [line for line in lines if len(line) > 80 or line[-1] not in ".?" or re.search(r"\w\.\.\.$", line)] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_argument_and_option_is_explained(verb: str, labloop: Any) -> None:
    said = labloop(verb, "-h").out
    rows = re.split(r"^(?:Arguments|Options):$", said, flags=re.MULTILINE)[1:]
    assert rows and not re.search(r"<(?:str|int|float|path|list\[\w+\])>|\[\[|\{", said)
    entries = [entry for part in rows for entry in re.findall(r"^  \S.*(?:\n {4,}.*)*", part, re.MULTILINE)]
    assert [entry for entry in entries if not re.search(r"\S(?: {2,}|\n {4,})\S", entry)] == []
