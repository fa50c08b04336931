"""A shell's abort lies in the runner's inbox before the rest of labloop has been read from the disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labloop.cli import app, request
from labloop.journal import Presence, inbox
from labloop.runner import abort_first, wishes
from labloop.runner.wishes import Reply

SLOW_TO_READ = ("labloop.bench", "labloop.campaign.spec", "zmq", "numpy", "pandas", "torch")


def test_it_lies_there_first_and_is_brought_again_as_the_same_wish(tmp_path: Path, monkeypatch) -> None:
    asked: list[str] = []

    def ask(folder: Path, verb: str, arguments: list[str], *, by: str, why: str, id: str = "") -> Reply:
        (there,), _ = inbox.take(folder / "requests")
        assert (there.request, there.by, there.why, there.id) == ("abort", "ada", "smoke", id)
        asked.append(id)
        return Reply(accepted=True, message="", safe=True)

    monkeypatch.setattr(wishes, "ask", ask)
    with Presence(tmp_path):
        request._abort(tmp_path, "ada", "smoke")
    assert asked != [""]
    assert asked


def test_where_no_runner_lives_nothing_is_left_in_the_inbox(tmp_path: Path) -> None:
    assert abort_first.post(tmp_path, "ada", "") == ""
    assert not (tmp_path / "requests").exists()


def test_a_reason_without_end_keeps_it_from_nobody(tmp_path: Path) -> None:
    with Presence(tmp_path):
        id = abort_first.post(tmp_path, "ada " * 100_000, "smoke " * 100_000)
    (there,), refused = inbox.take(tmp_path / "requests")
    assert (there.id, len(there.by), len(there.why), refused) == (id, abort_first.LONGEST, abort_first.LONGEST, [])


def test_a_name_that_is_no_text_keeps_it_from_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", os.fsdecode(b"caf\xe9"))
    monkeypatch.setattr(wishes, "ask", lambda *args, **words: Reply(accepted=True, message="", safe=True))
    with Presence(tmp_path):
        assert request._abort(tmp_path, "", "").accepted
    (there,), _ = inbox.take(tmp_path / "requests")
    assert (there.request, there.by) == ("abort", "caf\ufffd") == ("abort", inbox.user())


def test_nothing_that_is_slow_to_read_comes_before_it(tmp_path: Path) -> None:
    (tmp_path / "journal.db").touch()
    program = f"""
import sys
from labloop.cli import app, request
from labloop.runner import abort_first
def post(folder, by, why):
    print(*[name for name in {SLOW_TO_READ} if name in sys.modules])
    sys.exit(7)
abort_first.post = post
sys.argv = ["labloop", "request", {str(tmp_path)!r}, "abort"]
app.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (7, ""), done.stderr


@pytest.mark.parametrize("gone", [True, False])
def test_it_is_said_from_wherever_somebody_stands(
    gone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Path(os.fsdecode(bytes(tmp_path / "caf") + b"\xe9"))
    here.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(here)
    if gone:
        here.rmdir()
    said = {}
    for verb in ("abort", "ports", "request /nowhere abort", "request --by ann /nowhere abort"):
        monkeypatch.setattr(sys, "argv", ["labloop", *verb.split()])
        with pytest.raises(SystemExit) as ended:
            app.main()
        said[verb] = ended.value.code
    assert said == dict.fromkeys(said, 2) | {"abort": 0}
    assert (told := capsys.readouterr()).err.count("/nowhere: there is no such run") == 2
    assert told.err.count("Go to another one") == int(gone)
