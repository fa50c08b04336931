"""What --help says: how a verb is written, in words that a chemist reads."""

import re
from typing import Any

import pytest

from labloop.cli.app import app

VERBS = [str(verb.name) for verb in app.registered_commands]


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


@pytest.mark.parametrize("verb", VERBS)
def test_every_argument_and_option_is_explained(verb: str, labloop: Any) -> None:
    said = labloop(verb, "-h").out
    rows = re.split(r"^(?:Arguments|Options):$", said, flags=re.MULTILINE)[1:]
    assert rows and not re.search(r"<(?:str|int|float|path|list\[\w+\])>|\[\[|\{", said)
    entries = [entry for part in rows for entry in re.findall(r"^  \S.*(?:\n {4,}.*)*", part, re.MULTILINE)]
    assert [entry for entry in entries if not re.search(r"\S(?: {2,}|\n {4,})\S", entry)] == []
