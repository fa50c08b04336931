"""The dashboard on runs made by hand, with the clock and the runner's presence injected."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from textual._context import active_app
from textual._wait import SLEEP_GRANULARITY, wait_for_idle
from textual.pilot import Pilot
from textual.widgets import Input

from labloop.dashboard import DashboardApp, acts, amend_acts, trial_acts
from labloop.dashboard.run_screen import RunScreen
from labloop.dashboard.runs_screen import RunsScreen

from .story import Story

# What a test's own words in place of a process say is there at once; a real process takes its time.
WORKED_S, PATIENCE_S = 0.3, 60.0
CALM = 3  # turns of the loop
NEVER_S = 600.0

Script = Callable[[Pilot], Awaitable[None]]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Story]], tuple[Path, datetime]]:
    """Write each story once: its folder, and its present."""
    folder = tmp_path_factory.mktemp("stories")

    @cache
    def write(tell: Callable[[Path], Story]) -> tuple[Path, datetime]:
        story = tell(folder / tell.__name__)
        return story.close(), story.now()

    return write


@pytest.fixture
def watch(tmp_path: Path, written) -> Callable[..., DashboardApp]:
    """Make a dashboard on a story's run, as it stands at the story's present."""

    def make(tell: Callable[[Path], Story], runner: str = "alive", read_only: bool = False) -> DashboardApp:
        folder = tmp_path / "runs" / tell.__name__
        told, now = written(tell)
        shutil.copytree(told, folder)
        return DashboardApp(folder, read_only, below=tmp_path, now=lambda: now, look=lambda folder: runner, zone=UTC)

    return make


async def quiet(min_sleep: float = SLEEP_GRANULARITY, max_sleep: float = 1.0) -> None:
    """Textual calls a process idle that others kept from the processor: here nothing may be left that could run.

    A worker is waited for, unless it is a test's that holds it back.
    """
    await wait_for_idle(min_sleep, max_sleep)
    loop, app = asyncio.get_running_loop(), active_app.get(None)
    calm, began_s = 0, loop.time()
    while calm < CALM and loop.time() < began_s + PATIENCE_S:
        works = app is not None and any(not one.is_finished for one in app.workers)
        works = works and loop.time() < began_s + WORKED_S
        await asyncio.sleep(0.001 if works else 0)
        calm = 0 if works or loop._ready else calm + 1


@pytest.fixture(autouse=True)
def quiet_before_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and pauses of a test go on when all that they began is done, and nothing is over meanwhile."""
    monkeypatch.setattr("textual.pilot.wait_for_idle", quiet)
    monkeypatch.setattr("textual.app.wait_for_idle", quiet)
    monkeypatch.setattr("labloop.dashboard.app.ABORT_WITHIN_S", NEVER_S)
    monkeypatch.setattr(DashboardApp, "NOTIFICATION_TIMEOUT", NEVER_S)


class Commands(list[tuple[str, ...]]):
    """What was asked of labloop's command line; ``says``: its exit code and words."""

    says: tuple[int, str] = (0, "")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Keep the dashboard from starting processes, and hear what they would have been."""
    heard = Commands()

    def labloop(*arguments: str) -> tuple[int, str]:
        heard.append(arguments)
        return heard.says

    monkeypatch.setattr(acts, "labloop", labloop)
    monkeypatch.setattr(trial_acts, "labloop", labloop)
    monkeypatch.setattr(amend_acts, "labloop", labloop)
    return heard


async def settled(pilot: Pilot) -> None:
    """Let the dashboard read all there is, and draw it."""
    for _ in range(200):
        await pilot.pause()
        screen = pilot.app.screen
        if isinstance(screen, RunScreen | RunsScreen) and screen.settled:
            break
    await pilot.pause()


async def still(pilot: Pilot) -> None:
    """Let what the keys did be drawn, without a cursor that blinks."""
    await pilot.pause()
    for line in pilot.app.screen.query(Input):
        line.cursor_blink = False
    await pilot.pause()


def drawings(app: DashboardApp, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Hear from now on what is sent to the terminal."""
    drawn, display = list[object](), app._display
    monkeypatch.setattr(app, "_display", lambda *what: (drawn.append(what), display(*what)))
    return drawn


def drive(app: DashboardApp, script: Script, size: tuple[int, int] = (80, 24)) -> None:
    """Run the dashboard without a terminal and play ``script`` on it."""

    async def play() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await settled(pilot)
            await script(pilot)

    asyncio.run(play())


def screen_text(app: DashboardApp) -> str:
    """Return what stands on the screen, line by line."""
    return "\n".join("".join(s.text for s in strip) for strip in app.screen._compositor.render_strips())
