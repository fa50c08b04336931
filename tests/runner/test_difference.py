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
