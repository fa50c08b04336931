"""The last exchanges, as they are shown."""

import json

import pytest

from labloop.dashboard.wire import read_wire

from . import journals
from .conftest import drive, screen_text


def written(folder, *passed) -> None:
    lines = {"serial:///dev/pumps": {"instruments": ["pump_a", "pump_b"], "passed": list(passed)}}
    (folder / "wire.json").write_text(json.dumps({"schema": 1, "lines": lines}))


def one(at_s: float, kind: str, *frames: bytes, more: int = 0) -> dict:
    return {"at_s": at_s, "kind": kind, "frames": [frame.hex() for frame in frames], "more": more}


def test_each_exchange_is_shown_in_hex_and_as_text(tmp_path):
    written(tmp_path, one(10.0, "sent", b"0RUN\r"), one(10.25, "received", b"\x0200I\x03", more=7))
    (line,) = read_wire(tmp_path, 60)
    assert (line.address, line.instruments) == ("serial:///dev/pumps", "pump_a, pump_b")
    assert line.rows == (
        ("   -0.250 s sent     30 52 55 4e 0d           |0RUN.|", ""),
        ("    0.000 s received 02 30 30 49 03           |.00I.|", "good"),
        ("                     ... and 7 bytes more", "quiet"),
    )


def test_an_answer_that_came_in_parts_is_shown_whole(tmp_path):
    parts = [one(1.0 + n / 10, "received", bytes([byte])) for n, byte in enumerate(b"00I")]
    written(tmp_path, one(0.9, "sent", b"DIS"), *parts, one(2.0, "sent", b"RUN"), one(2.1, "received", b"a", b"b"))
    (line,) = read_wire(tmp_path, 60)
    assert [words[11:].split("  |")[0].split() for words, _ in line.rows[:3]] == [
        ["sent", "44", "49", "53"], ["received", "30", "30", "49"], ["sent", "52", "55", "4e"],
    ]  # fmt: skip
    assert len(line.rows) == 5, "two frames of a message are two rows"


@pytest.mark.parametrize("width", [50, 76, 156])
def test_no_row_is_wider_than_the_screen(tmp_path, width):
    written(tmp_path, one(0.0, "received", bytes(range(256)), b""))
    (line,) = read_wire(tmp_path, width)
    assert max(len(words) for words, _ in line.rows) <= width
    assert len({words.index("|") for words, _ in line.rows}) == 1, "the text stands in one column"
    assert " ".join(words[20:].split("  |")[0] for words, _ in line.rows).split() == [f"{n:02x}" for n in range(256)]


@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "Nothing has passed"), ("{", "makes no sense"), ('{"lines": {"x": 3}}', "makes no sense"),
     ('{"lines": {"x": {"instruments": [], "passed": [{"at_s": 0, "kind": "sent", "frames": ["zz"], "more": 0}]}}}',
      "makes no sense")],
)  # fmt: skip
def test_what_cannot_be_shown_is_said(tmp_path, content, word):
    if content is not None:
        (tmp_path / "wire.json").write_text(content)
    assert word in read_wire(tmp_path, 80)


def test_what_an_instrument_says_steers_no_terminal(tmp_path):
    written(tmp_path, one(0.0, "received", b"\x1b[2J\x9b"))
    (line,) = read_wire(tmp_path, 80)
    assert "\x1b" not in line.rows[0][0] and "|.[2J.|" in line.rows[0][0]


def test_x_on_the_bench_shows_it_and_escape_leads_back(watch):
    app = watch(journals.running)
    written(app.run_folder, one(10.0, "sent", b"0RUN\r"))
    shown: list[str] = []

    async def script(pilot):
        for key in ("3", "x"):
            await pilot.press(key)
            await pilot.pause()
        shown.append(screen_text(app))
        written(app.run_folder, one(10.0, "sent", b"0STP\r"))
        app.screen.follow(None)
        await pilot.pause()
        shown.append(screen_text(app))
        await pilot.press("escape")
        await pilot.pause()
        shown.append(screen_text(app))

    drive(app, script)
    assert "pump_a, pump_b" in shown[0] and "30 52 55 4e 0d" in shown[0]
    assert "30 53 54 50 0d" in shown[1], "it follows"
    assert "pump_a, pump_b" not in shown[2] and "─ pump_pva ─" in shown[2], "the bench"
