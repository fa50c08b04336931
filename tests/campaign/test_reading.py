"""YAML files: plain values with their places; what is hostile is refused fast and in few words."""

import resource
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labloop.campaign.errors import SpecError
from labloop.campaign.reading import LONGEST_FILE, MOST_VALUES, Document, read_document, read_text


def test_scalars_mean_what_a_chemist_means() -> None:
    text = "a: [1e3, 1e-3, 012, .5, 5., -3, +4, on, no, yes, 1:30, 2024-01-01, 0x10, '12', true, False, ~, N, 1_000]"
    assert read_text(text, "f").value["a"] == [
        1000.0, 0.001, 12, 0.5, 5.0, -3, 4, "on", "no", "yes", "1:30", "2024-01-01", 16, "12", True, False, None, "N",
        "1_000",
    ]  # fmt: skip


def test_every_key_and_value_has_its_place() -> None:
    document = read_text("a: 1\nb:\n  c: [x, {d: y}]\n", "f.yaml")
    assert document.place(("a",)) == "f.yaml:1:4"
    assert document.place(("b", "c", 1, "d")) == "f.yaml:3:14"
    assert document.place(("b", "c", 1, "d"), key=True) == "f.yaml:3:11"
    assert document.place(("b", "c", 7)) == "f.yaml:3:3"  # not there: the nearest key around it
    assert document.complaint(("b", "c", 0), "is wrong") == "f.yaml:3:7: b.c[0] = x: is wrong"
    assert Document({"a": 1}).complaint(("a",), "is wrong") == "a = 1: is wrong"


def test_an_alias_stands_for_its_anchor() -> None:
    assert read_text("a: &x {b: 1}\nc: *x\n", "f").value == {"a": {"b": 1}, "c": {"b": 1}}


HOSTILE: list[tuple[str, str | bytes, str]] = [
    ("python tag", "a: !!python/object/apply:os.system ['touch /tmp/x']", "f:1:4: the tag"),
    ("own tag", "a: !foo x", "f:1:4: the tag '!foo' is refused"),
    ("tag of a key", "!foo a: x", "the tag"),
    ("long tag", "!" * 900_000, "tag"),
    (
        "bomb",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)),
        f"more than {MOST_VALUES} values",
    ),
    ("alias in itself", "a: &a [*a]", "contains itself"),
    ("alias of nothing", "a: *b", "used before it is set"),
    ("deep lists", "x: " + "[" * 5000 + "]" * 5000, "nested deeper than 50"),
    ("deep maps", "".join(" " * i + "a:\n" for i in range(300)), "nested deeper than 50"),
    ("brackets", "[" * 900_000, "f:1:1"),
    ("braces", "a: " + "{" * 900_000, "f:1:"),
    ("too many maps", "\n".join(f"k{i}: {{a: 1, b: 2}}" for i in range(20_000)), f"more than {MOST_VALUES} values"),
    ("too many keys", "\n".join(f"k{i}: 1" for i in range(60_000)), f"more than {MOST_VALUES} values"),
    ("too long", "a: " + "x" * LONGEST_FILE, "f:1:1: the file has"),
    ("same key twice", "a: 1\nb: 2\na: 3", "f:3:1: a: this key stands twice (first in line 1)"),
    ("same key twice inside", "a: {x: 1, x: 2}", "f:1:11: a.x: this key stands twice"),
    ("two documents", "a: 1\n---\nb: 2", "f:2:1: a second document"),
    ("a list", "- a", "f:1:1: the file is a list"),
    ("a word", "hello", "f:1:1: the file is a single value"),
    ("empty", "", "f:1:1: the file is empty"),
    ("only a comment", "# nothing", "f:1:1: the file holds no values"),
    ("two colons", "a: b: c", "f:1:5: this is not YAML"),
    ("a tab", "a:\n\tb: 1", "f:2:1: this is not YAML"),
    ("not closed", "{a: [1, 2}", "f:1:10: this is not YAML"),
    ("a quote not closed", "a: 'x", "this is not YAML"),
    ("a NUL", "a: \x00", "f:1:4: character"),
    ("an escape", "a: \x1b[2J", "f:1:4: character"),
    ("no UTF-8", b"a: 1\nb: \xff\xfe", "f:2:4: the byte"),
    ("a list as key", "? [a]\n: b", "a key must be a plain word"),
    ("UTF-16", "a: 1".encode("utf-16"), "f:1:1: the byte"),
]


@pytest.mark.parametrize(("text", "word"), [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
def test_hostile_files_are_refused_fast_with_a_place(text: str | bytes, word: str) -> None:
    begun = time.process_time()
    with pytest.raises(SpecError) as raised:
        read_text(text, "f")
    assert word in raised.value.complaints[0]
    assert len(str(raised.value)) < 1000
    assert time.process_time() - begun < 20.0  # half a second where it was measured; what explodes takes hours


def test_a_file_of_100_mb_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    with open(path, "wb") as file:
        file.truncate(100_000_000)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(SpecError, match="100000000 bytes"):
        read_document(path)
    assert time.process_time() - begun < 5.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/", "no/such/file.yaml", "a\0b"])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(SpecError):
        read_document(path)


@settings(max_examples=300)
@given(st.text(alphabet="abc: -[]{}&*!|>'\"#%@`,?\n\t~0123.eE+<=", max_size=80))
def test_any_text_is_a_mapping_or_a_complaint_with_a_place(text: str) -> None:
    try:
        document = read_text(text, "f")
    except SpecError as error:
        assert all(line.startswith("f:") for line in error.complaints)
        return
    assert isinstance(document.value, dict)
