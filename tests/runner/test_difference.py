"""What is shown of two texts: where they part, with true line numbers, and never more than fits on a screen."""

import pytest

from labloop.runner.difference import MOST_LINES, WIDEST, difference

TEXT = "\n".join(f"line {n}" for n in range(1, 101))


def test_the_lines_that_differ_with_their_numbers():
    said = difference(TEXT.encode(), TEXT.replace("line 50\n", "line fifty\n").encode(), "a.yaml")
    assert said.splitlines()[:3] == ["--- a.yaml (when the run began)", "+++ a.yaml (now)", "@@ -47,7 +47,7 @@"]
    assert "-line 50" in said and "+line fifty" in said and "line 46" not in said


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ("", "a", ["+a"]),
        ("a", "", ["-a"]),
        ("a\nb", "a\nb\nc", ["+c"]),
        ("a\nb\nc", "b\nc", ["-a"]),
        ("a\nb", "a\r\nb\r\n", ["the lines are the same, and how they end is not"]),
    ],
)
def test_small_ones(before, now, words):
    said = difference(before.encode(), now.encode(), "a")
    assert all(word in said for word in words)


@pytest.mark.parametrize("lines", [3, 3000], ids=["a diff", "the first of many"])
def test_of_a_long_line_the_part_is_shown_that_differs(lines):
    before = [f"{n}: " + "a" * 500 + "old" + "b" * 500 for n in range(lines)]
    now = [line.replace("old", "new") for line in before]
    said = difference("\n".join(before).encode(), "\n".join(now).encode(), "lab.yaml")
    assert "aaaoldbbb" in said and "aaanewbbb" in said and max(map(len, said.splitlines())) <= WIDEST
    more = difference("\n".join(before[:2]).encode(), "\n".join([now[0], "new", *now[1:2]]).encode(), "lab.yaml")
    assert "aaanewbbb" in more and "+new" in more.splitlines()


def test_no_text():
    assert difference(b"\xff\xfe\x00", b"\xff", "a.bin") == "a.bin: 3 bytes then, 1 bytes now, and no text"


@pytest.mark.parametrize(
    "now",
    [
        "\n".join(f"other {n}" for n in range(300)),
        "\n".join(f"other {n}" for n in range(200_000)),
        "x" * 3_000_000,
        "\n" * 1_000_000,
    ],
    ids=["many lines", "very many lines", "one long line", "empty lines"],
)
def test_however_long_it_fits_on_a_screen(now):
    said = difference(TEXT.encode(), now.encode(), "a")
    assert len(said.splitlines()) <= MOST_LINES + 1 and max(map(len, said.splitlines())) <= WIDEST
