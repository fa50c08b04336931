"""How long the planner takes: ``python tests/planner/timing.py [start] [sampled] [list] [argmax] [wishes]``.

Prints the tables of docs/benchmarks.md, all of them unless some are named. Seconds of one processor (``wishes``:
thousandths), one thread, the least of a few times: the machine's other work costs processor time as well. A step is
what an instrument waits for: telling what came of one trial and asking for the next, through ``labloop.Campaign``.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from labloop.planner.process import ONE_THREAD  # noqa: E402

os.environ.update(ONE_THREAD)  # before numpy is loaded

import numpy as np  # noqa: E402

import labloop  # noqa: E402
from labloop.journal import Reader  # noqa: E402

NAMES = [f"x{at}" for at in range(6)]
Spec = dict[str, Any]
Rows = list[dict[str, Any]]


def seconds(act: Callable[[], Any], times: int = 3) -> float:
    """The least that it took."""
    return min(_once(act) for _ in range(times))


def _once(act: Callable[[], Any]) -> float:
    before = time.process_time()
    act()
    return time.process_time() - before


def say(*cells: object) -> None:
    words = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells]
    sys.stdout.write(f"| {' | '.join(words)} |\n")
    sys.stdout.flush()


def head(*cells: object) -> None:
    sys.stdout.write("\n")
    say(*cells)
    sys.stdout.write(f"|{'---|' * len(cells)}\n")


# --- what is planned for ----------------------------------------------------------------------------------------------

UP, DOWN = {"goal": "maximize", "from": "told"}, {"goal": "minimize", "from": "told"}
CUBE = {name: {"range": [0, 1]} for name in NAMES}
CONDITIONAL = CUBE | {
    "way": {"choices": ["a", "b"]},
    "x4": {"range": [0, 1], "active_when": "way == a"},
    "x5": {"range": [0, 1], "active_when": "way == b"},
}
WISHES: dict[str, Spec] = {
    "one outcome": {"y": UP},
    "a target": {"y": {"goal": {"target": 0.5, "tolerance": 0.02}, "from": "told"}},
    "weights": {"y": UP | {"weight": 2}, "z": DOWN | {"weight": 1}},
    "weights, one a target": {
        "y": {"goal": {"target": 0.5, "tolerance": 0.02}, "weight": 2, "from": "told"},
        "z": DOWN | {"weight": 1},
    },
    "a limit": {"y": UP, "z": {"limit": "<= 0.5", "from": "told"}},
    "desirability": {"y": UP | {"desirability": [0, 1]}, "z": DOWN | {"desirability": [0, 1]}},
    "desirability, a limit": {
        "y": UP | {"desirability": [0, 1]},
        "z": DOWN | {"desirability": [0, 1]},
        "v": {"limit": "<= 0.5", "from": "told"},
    },
    "pass or fail": {"y": UP, "works": {"goal": "pass", "from": "told"}},
    "failed trials": {"y": UP},
    "compared": {"taste": {"goal": "prefer", "from": "told"}},
    "front of two": {"y": UP, "z": DOWN},
    "front of three": {"y": UP, "z": DOWN, "v": DOWN},
    "conditions": {"y": UP},
}
ONE = WISHES["one outcome"]


def outcomes_of(settings: Mapping[str, Any], generator: np.random.Generator) -> dict[str, float]:
    x = np.array([float(settings.get(name, 0.5)) for name in NAMES])
    x[0] += 0.3 * (settings.get("way") == "a")
    hill = np.exp(-3.0 * ((x - np.array([0.2, 0.15, 0.48, 0.28, 0.31, 0.66])) ** 2).sum())
    noise = 0.01 * generator.standard_normal(3)
    return {"y": float(hill + noise[0]), "z": float(x[:3].mean() + noise[1]), "v": float(x[1] * x[4] + noise[2])}


def written(outcomes: Spec, parameters: Spec = CUBE, **more: Any) -> Spec:
    return {
        "labloop": 1, "campaign": "timing", "parameters": parameters, "outcomes": outcomes,
        "budget": {"trials": 1_000_000},
    } | more  # fmt: skip


def points(count: int, seed: int, names: Sequence[str] = NAMES) -> Rows:
    rows = np.random.default_rng(seed).random((count, len(names)))
    return [dict(zip(names, map(float, row), strict=True)) for row in rows]


class Told:
    """A campaign of n trials, of which the planner has made none, and how it is told of one."""

    def __init__(self, spec: Spec, trials: int, kind: str = "", folder: Path | None = None, at: Rows | None = None):
        # Failures are no initial trials; past twice as many as these the model is asked all the same.
        design = {"initial": {"method": "random", "trials": trials // 2}, "seed": 1}
        self.campaign = labloop.Campaign(spec | {"design": design}, folder, planner="inline")
        self.generator, self.kind = np.random.default_rng(0), kind
        self.last = 0
        if at is None:
            at = [one.settings for one in self.campaign.ask(trials)]
            for number, settings in enumerate(at, start=1):
                self.tell(number, settings)
        else:
            self.campaign.tell_settings(at, [self.answer(one) for one in at])

    def answer(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        made = outcomes_of(settings, self.generator)
        made |= {"works": "pass" if made["v"] < 0.4 else "fail"}
        return {name: made[name] for name in self.campaign.spec.outcomes if name in made}

    def tell(self, trial: int, settings: Mapping[str, Any]) -> None:
        if self.kind == "compared":
            if trial > 1:
                here, there = (outcomes_of(one, self.generator)["y"] for one in (settings, self.before))
                better, worse = (trial, trial - 1) if here > there else (trial - 1, trial)
                self.campaign.prefer(better, worse)
            self.before = settings
        elif self.kind == "failed trials" and outcomes_of(settings, self.generator)["v"] > 0.4:
            self.campaign.tell(trial, failed="clogged")
        else:
            self.campaign.tell(trial, self.answer(settings))

    def step(self, count: int = 1) -> float:
        """Tell what was asked for last, and ask for more."""
        before = time.process_time()
        found = self.campaign.ask(count)
        spent = time.process_time() - before
        assert found[0].source == "model", found[0].why
        self.last = found[-1].trial
        return spent + sum(_once(lambda one=one: self.tell(one.trial, one.settings)) for one in found)  # type: ignore[misc]

    def steps(self, count: int = 1, times: int = 4) -> float:
        """The least that a step took; the first also learns what the next ones begin from."""
        return min([self.step(count) for _ in range(times)][1:])


# --- the tables -------------------------------------------------------------------------------------------------------


def start() -> None:
    """A process of its own, imports included."""
    head("a new process, imports included", "s")
    first = "import sys; sys.path.insert(0, {root!r}); import labloop; from tests.planner.timing import *; {act}"
    with tempfile.TemporaryDirectory() as folder:
        Told(written(ONE), 400, folder=Path(folder, "run"), at=points(400, 1)).campaign.close()
        spec = written(ONE) | {"design": {"initial": {"method": "random", "trials": 200}, "seed": 1}}
        run = f"{folder + '/run'!r}, planner='inline'"
        for what, act in (
            ("the imports alone", "import scipy.optimize, scipy.stats, labloop.planner.problem"),
            ("the first proposal, by the model of 20 trials", "Told(written(ONE), 20, at=points(20, 1)).step()"),
            ("400 trials read from their folder, and a proposal", f"labloop.Campaign({spec!r}, {run}).ask()"),
        ):  # fmt: skip
            line = [sys.executable, "-c", first.format(root=str(ROOT), act=act)]
            say(what, min(_of_children(line) for _ in range(3)))


def _of_children(line: Sequence[str]) -> float:
    before = os.times()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def sampled() -> None:
    """The closed form, and what BoTorch samples in its place, in turn."""
    head("", "closed form", "sampled", "ratio")
    five = {name: {"range": [0, 1]} for name in NAMES[:5]}
    shares = [{k: v / sum(one.values()) for k, v in one.items()} for one in points(20, 2, NAMES[:5])]
    sum_of_five = {"parameters": five, "constraints": [" + ".join(five) + " == 1"]}
    for what, outcomes, engine, count, at, more in (
        ("ask(4), d = 6, n = 100", ONE, "qLogNEI", 4, points(100, 1), {}),
        ("a sum over 5 components, n = 20", ONE, "qLogNEI", 1, shares, sum_of_five),
        ("a front of two outcomes, d = 6, n = 40", WISHES["front of two"], "qLogNEHVI", 1, points(40, 1), {}),
        ("a front of three outcomes, d = 6, n = 40", WISHES["front of three"], "qLogNEHVI", 1, points(40, 1), {}),
    ):
        spec = written(outcomes) | more
        closed = Told(spec, len(at), at=at)
        torch = Told(spec | {"engine": {"acquisition": engine}}, len(at), at=at)
        took = [(closed.step(count), torch.step(count)) for _ in range(4)][1:]
        mine, other = min(one for one, _ in took), min(one for _, one in took)
        say(what, mine, other, f"{other / mine:.0f}")


def list_of_rows() -> None:
    """Candidates through Campaign: building the space, the first proposal and the next ones."""
    head("rows, d = 6, n = 40", "built", "first proposal", "step", "step, n = 400")
    for count in (2_450, 3_700, 100_000):
        spec = written(ONE, candidates=points(count, 3))
        built = seconds(lambda spec=spec: labloop.Campaign(spec, planner="inline"), 2)  # type: ignore[misc]
        told = Told(spec, 40, at=spec["candidates"][:40])
        more = Told(spec, 400, at=spec["candidates"][:400])
        say(f"{count:,}", built, told.step(), told.steps(), more.steps())


def argmax() -> None:
    """The pruned pass over a table alone, without and with four trials in flight."""
    from labloop.planner import pool
    from labloop.planner.acquisition import build
    from labloop.planner.encoding import Column, Encoding
    from labloop.planner.goals import Goal
    from labloop.planner.known import Known, Observations
    from labloop.planner.surrogate import fit_all
    from labloop.planner.threads import one_thread

    cube = Encoding(tuple(Column(name, "real") for name in NAMES))
    generator = np.random.default_rng(0)
    rows = generator.random((1_000_000, 6))
    nothing = np.empty((0, 6))
    head("exact argmax", "n = 100", "n = 100, 4 in flight", "n = 400", "n = 400, 4 in flight")
    scores = []
    for n in (100, 400):
        x = generator.random((n, 6))
        y = np.array([outcomes_of(dict(zip(NAMES, row, strict=True)), generator)["y"] for row in x])
        model = fit_all({"y": Observations(x, y, np.zeros(n), np.arange(n))}, cube, ("matern",))
        scores += [
            build(model, (Goal("y", 1),), Known(x, flying, x, nothing), cube, 0) for flying in (nothing, rows[:4])
        ]
    with one_thread():
        for count in (100_000, 1_000_000):
            took = [seconds(lambda one=one, count=count: pool.top(one, rows[:count], 4), 2) for one in scores]  # type: ignore[misc]
            say(f"{count:,} rows", *took)


def wishes() -> None:
    """A step, and why it was that point, of every kind of wish; in a space and among 100,000 rows."""
    from labloop.study.why import explain

    table = points(100_000, 3)
    head("ms, d = 6", *[f"{what}, n = {n}" for n in (40, 100) for what in ("step", "rows", "why", "why not")])
    for kind, outcomes in WISHES.items():
        cells: list[object] = []
        for n in (40, 100):
            spec = written(outcomes, CONDITIONAL if kind == "conditions" else CUBE)
            free = Told(spec, n, kind).steps()
            rows = spec | {"candidates": conditional(table) if kind == "conditions" else table}
            with tempfile.TemporaryDirectory() as folder:
                among = Told(rows, n, kind, Path(folder, "run"))
                took = among.steps(times=3)
                with Reader(Path(folder, "run", "journal.db")) as reader:
                    records = list(reader.records())
                spec_now, last = among.campaign.spec, among.last
                instead = dict(rows["candidates"][7])
                why = seconds(lambda: explain(spec_now, records, last), 2)  # noqa: B023
                why_not = seconds(lambda: explain(spec_now, records, last, instead), 2)  # noqa: B023
                among.campaign.close()
            cells += [f"{1e3 * one:.0f}" for one in (free, took, why, why_not)]
        say(kind, *cells)


def conditional(table: Rows) -> Rows:
    ways = ("a", "b")
    return [
        {name: value for name, value in row.items() if name != ("x5", "x4")[at % 2]} | {"way": ways[at % 2]}
        for at, row in enumerate(table)
    ]


TABLES = {"start": start, "sampled": sampled, "list": list_of_rows, "argmax": argmax, "wishes": wishes}

if __name__ == "__main__":
    for name in sys.argv[1:] or TABLES:
        TABLES[name]()
