"""Campaigns against a table of past measurements: how soon would each strategy have found the best?

Every strategy begins, at one seed, with the same conditions drawn by chance (told, not proposed); then it proposes some
that were not measured yet, is told what came of them, and so on to the budget. Conditions are the table's rows, or any
settings of the campaign's space where an emulator of the table answers. Each course is one line of ``courses.jsonl`` in
the folder, written when it is done, so a backtest that was ended goes on where it stood: a line counts when its table,
campaign, files that it names, budget, first conditions, batch, version and kind of answer are the same.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np

from labloop import __version__
from labloop.campaign.errors import SpecError
from labloop.campaign.objective import Objective
from labloop.campaign.space import Settings, Space
from labloop.campaign.spec import CampaignSpec, read_spec

from .emulator import Emulator, emulated, fit_emulator
from .executor import as_done
from .measured import Array, Measured, merits, read_measured
from .scores import Yardstick, can_tell, score
from .strategies import LABLOOP, RANDOM, check_names, strategy
from .worlds import Emulated, Tabled, World

COURSES: Final = "courses.jsonl"
NEAR: Final = 0.01  # of the way from the median to an emulator's optimum: nobody measures the very point
COMPARED: Final = 512  # points by which two campaigns' spaces are held against each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be tried. ``against``: ``random``, or ``NAME=FILE`` with another campaign file."""

    campaign: Path
    table: Path
    folder: Path
    against: tuple[str, ...] = (RANDOM,)
    seeds: int = 20
    trials: int | None = None  # evaluations in all; None: the campaign's budget
    initial: int = 5
    batch: int | None = None  # None: the campaign's
    jobs: str = "-1"
    emulator: bool = False  # any settings of the space may be measured, and an emulator of the table answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One course to run: everything that a worker needs."""

    name: str
    campaign: Path
    table: Path
    seed: int
    trials: int
    initial: int
    batch: int
    key: str
    emulated: Path | None = None  # the campaign whose outcomes are emulated


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One course as it went. ``rows``: of the table, as measured. ``cpu_s``, ``wall_s``: of each proposal.

    The seconds are those of telling what was measured last and asking for the next. Where an emulator answered,
    ``rows`` are those of ``conditions``, and ``outcomes`` are what it answered there.
    """

    strategy: str
    seed: int
    key: str
    rows: list[int]
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    conditions: list[Settings] = field(default_factory=list)
    outcomes: list[dict[str, float]] = field(default_factory=list)


class Backtest:
    """A backtest of one order. Raises SpecError when the order cannot be carried out."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.files = {LABLOOP: order.campaign.resolve(), **_files(order.against, order.campaign.resolve())}
        check_names([LABLOOP, *(one.partition("=")[0] for one in order.against)])
        self.spec = read_spec(order.campaign)
        self.measured = read_measured(order.table, self.spec)
        self.objective = Objective(self.spec)
        self.emulator: Emulator | None = None
        self.optimum: list[dict[str, Any]] = []
        if order.emulator:
            self.emulator = fit_emulator(self.spec, self.measured)
            self.optimum = self.emulator.best(self.objective, self.measured)
        self.yardstick = self._yardstick()
        if not can_tell(self.yardstick):
            raise SpecError(
                f"{order.table}: no condition that keeps the limits is better in every goal than the worst of them, so "
                "the front has no volume to score by. Give the goals weights, or take a table with more of the space"
            )
        self._specs = {name: self.spec if name in (LABLOOP, RANDOM) else read_spec(p) for name, p in self.files.items()}
        for name, spec in self._specs.items():
            if spec is not self.spec:
                _refuse_other(self.measured, read_measured(order.table, spec), self.files[name])
                if self.emulator is not None:
                    _refuse_other_space(self.emulator, spec, self.files[name])
        there_are = len(self.measured) if self.emulator is None else self.emulator.encoding.size
        if not 1 <= order.initial < there_are:
            what = f"the table's {len(self.measured)}" if self.emulator is None else f"the space's {there_are:g} points"
            raise SpecError(f"--initial {order.initial}: must be at least 1 and below {what}")
        if order.seeds < 1:
            raise SpecError(f"--seeds {order.seeds}: must be at least 1")
        wanted = order.trials if order.trials is not None else self.spec.budget.trials or 40
        self.trials = int(min(wanted, there_are))
        self.batch = order.batch if order.batch is not None else self.spec.design.batch
        if self.batch < 1:
            raise SpecError(f"--batch {self.batch}: must be at least 1")
        if self.trials <= order.initial:
            raise SpecError(f"--trials {self.trials}: leaves nothing to propose after the first {order.initial}")
        self.courses: list[Course] = []

    def _yardstick(self) -> Yardstick:
        if self.emulator is None:
            return Yardstick(every=self.measured.merit)
        every = merits(self.objective, self.emulator.at(self.emulator.drawn))
        if not np.isfinite(every).all(axis=1).any():
            raise SpecError(
                f"--emulator: none of {len(every)} points of the space keeps every limit, as {self.order.table} tells. "
                "Loosen what is too tight, or look at the units"
            )
        best = merits(self.objective, [one["outcomes"] for one in self.optimum])
        return Yardstick(every=every, best=best, near=NEAR)

    def pieces(self) -> list[Piece]:
        """Every course that is not in the folder yet, seed by seed."""
        known = {(one.strategy, one.seed, one.key) for one in self._kept()}
        wanted = [
            Piece(
                name=name, campaign=path, table=self.order.table.resolve(), seed=seed, trials=self.trials,
                initial=self.order.initial, batch=self.batch, key=self._key(name),
                emulated=self.order.campaign.resolve() if self.order.emulator else None,
            )
            for seed in range(self.order.seeds)
            for name, path in self.files.items()
        ]  # fmt: skip
        return [one for one in wanted if (one.name, one.seed, one.key) not in known]

    def run(self) -> Iterator[Course]:
        """Run what is missing, and give each course when it is done. Raises SpecError, PlannerError, StoreError."""
        keys = {name: self._key(name) for name in self.files}
        self.courses = [
            one for one in self._kept() if keys.get(one.strategy) == one.key and one.seed < self.order.seeds
        ]
        missing = self.pieces()
        if not missing:
            return
        self.order.folder.mkdir(parents=True, exist_ok=True)
        with (self.order.folder / COURSES).open("a+", encoding="utf-8") as file:
            file.seek(0)
            if file.read()[-1:] not in ("", "\n"):
                file.write("\n")  # a line that an end cut short stays by itself
            for course in as_done(self.order.jobs, play, missing):
                file.write(json.dumps(asdict(course)) + "\n")
                file.flush()
                self.courses.append(course)
                yield course

    def document(self) -> dict[str, Any]:
        """The figures as plain data: ``strategies`` by name, and what they were measured on."""
        return {
            "schema": 1,
            "campaign": self.spec.campaign,
            "table": {
                "file": self.order.table.name, "sha256": self.measured.sha256, "conditions": len(self.measured),
                "replicates": self.measured.replicates, "left_out": self.measured.left_out,
            },
            "trials": self.trials,
            "initial": self.order.initial,
            "batch": self.batch,
            "seeds": self.order.seeds,
            "goal": "hypervolume" if self.measured.pareto else "best",
            "emulator": self._emulated(),
            "version": __version__,
            "strategies": {name: self._figures(name) for name in self.files},
        }  # fmt: skip

    def _emulated(self) -> dict[str, Any] | None:
        """The emulator, its errors, and the optimum that it has; None: the table's rows are what was proposed."""
        if self.emulator is None:
            return None
        return {**self.emulator.document(), "near": NEAR, "optimum": self.optimum}

    def _figures(self, name: str) -> dict[str, Any]:
        courses = sorted((one for one in self.courses if one.strategy == name), key=lambda one: one.seed)
        scores = [score(self._merit(one), self.yardstick, self.order.initial) for one in courses]
        if not scores:
            return {"courses": 0}
        longest = max(len(one.curve) for one in scores)  # a course that found no more stays where it was
        curves = np.array([(*one.curve, *[one.curve[-1]] * (longest - len(one.curve))) for one in scores])
        figures: dict[str, Any] = {
            "courses": len(scores),
            "area": _spread([one.area for one in scores]),
            "last": _spread([one.curve[-1] for one in scores]),
            "curve": {
                str(at): [round(float(one), 5) for one in np.quantile(curves, at / 100.0, axis=0)]
                for at in (10, 25, 50, 75, 90)
            },
            "cpu_s": _spread([second for one in courses for second in one.cpu_s]),
            "wall_s": _spread([second for one in courses for second in one.wall_s]),
        }
        if not self.measured.pareto:
            beyond = self.trials + 1  # stands for "not reached": a mean over it is a lower bound
            for what in ("to_top", "to_best"):
                reached = [getattr(one, what) for one in scores]
                figures[what] = {
                    **_spread([beyond if one is None else one for one in reached]),
                    "reached": sum(one is not None for one in reached),
                }
            figures["best"] = self._best(courses)
        return figures

    def _best(self, courses: Sequence[Course]) -> dict[str, Any]:
        """The goals' values at each course's best row: quantiles over the courses."""
        found = []
        for course in courses:
            row = course.rows[int(np.argmax(self._merit(course)[:, 0]))]
            found.append(course.outcomes[row] if self.order.emulator else self.measured.outcomes[row])
        return {name: _spread([one[name] for one in found]) for name in self.objective.goals}

    def _merit(self, course: Course) -> Array:
        """The merit of what a course measured, n x m, in its order."""
        every = merits(self.objective, course.outcomes) if self.order.emulator else self.measured.merit
        return np.asarray(every[course.rows])

    def _kept(self) -> list[Course]:
        path = self.order.folder / COURSES
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SpecError(f"{path}: cannot be read ({error.strerror}). Give another folder with --out") from error
        except UnicodeDecodeError as error:
            raise SpecError(f"{path}: is no text (UTF-8). Give another folder with --out, or remove it") from error
        kept = []
        for line in lines:
            try:
                kept.append(Course(**json.loads(line)))
            except (ValueError, TypeError):  # the last line of a backtest that was killed while it wrote
                continue
        return kept

    def _key(self, name: str) -> str:
        """What a course depends on beside strategy and seed."""
        files = [self.files[name], *(path for _, path in sorted(self._specs[name].files.items()))]
        parts = (
            self.measured.sha256, *(sha256(path.read_bytes()).hexdigest() for path in files), self.trials,
            self.order.initial, self.batch, __version__,
        )  # fmt: skip
        if self.order.emulator:
            parts += ("emulator", sha256(self.files[LABLOOP].read_bytes()).hexdigest())
        return sha256(repr(parts).encode()).hexdigest()[:16]


def play(piece: Piece) -> Course:
    """Run one course. Raises SpecError, PlannerError."""
    spec = read_spec(piece.campaign)
    world = _world(piece, spec)
    rows = list(islice(world.by_chance([piece.seed, 0]), piece.initial))
    plays = strategy(piece.name, spec, world, seed=piece.seed, initial=piece.initial)
    plays.tell(rows)
    course = Course(strategy=piece.name, seed=piece.seed, key=piece.key, rows=list(rows))
    news: list[int] = []
    while len(course.rows) < piece.trials:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        plays.tell(news)
        news = plays.ask(min(piece.batch, piece.trials - len(course.rows)))
        course.cpu_s.append(round(time.process_time() - cpu_s, 6))
        course.wall_s.append(round(time.perf_counter() - wall_s, 6))
        if not news:
            break
        course.rows.extend(news)
    if isinstance(world, Emulated):
        return replace(course, conditions=world.conditions, outcomes=world.answers)
    return course


def _world(piece: Piece, spec: CampaignSpec) -> World:
    if piece.emulated is None:
        return Tabled(read_measured(piece.table, spec))
    return Emulated(_emulator(piece.emulated, piece.table, piece.key), piece.batch)


@lru_cache(maxsize=4)
def _emulator(campaign: Path, table: Path, key: str) -> Emulator:
    """The emulator that answers in this process. key: of the course, so that a file that was changed is read anew."""
    spec = read_spec(campaign)
    return fit_emulator(spec, read_measured(table, spec), judged=False)


def _files(against: Sequence[str], campaign: Path) -> dict[str, Path]:
    files = {}
    for one in against:
        name, equals, path = one.partition("=")
        if equals and name != RANDOM:
            files[name] = Path(path).resolve()
        elif one != RANDOM:
            raise SpecError(f"--against {one}: write {RANDOM}, or NAME=FILE with another name and campaign file")
        else:
            files[name] = campaign
    return files


def _refuse_other(measured: Measured, other: Measured, path: Path) -> None:
    """Two campaigns are compared when they may measure the same rows and find the same of them good."""
    if measured.settings != other.settings:
        raise SpecError(
            f"{path}: of the table {len(other)} conditions lie in its space, and not the same {len(measured)} as in "
            "that of the campaign it is compared with. Give both the same parameters and constraints"
        )
    if not np.array_equal(measured.merit, other.merit):
        raise SpecError(
            f"{path}: orders the table's conditions otherwise than the campaign it is compared with. Give both the "
            "same goals, weights and limits"
        )


def _refuse_other_space(emulator: Emulator, spec: CampaignSpec, path: Path) -> None:
    """Two campaigns are compared over the same space: what is drawn from each lies in the other."""
    other = Space(emulated(spec))
    mine = list(islice(emulator.by_chance([0, 2]), COMPARED))
    ours = [one for one in mine if other.contains(one)]
    theirs = [one for one in other.sample(COMPARED, 0) if emulator.space.contains(one)]
    if ours or theirs:
        at, where = (ours[0], "that of the campaign it is compared with") if ours else (theirs[0], "its space")
        raise SpecError(
            f"{path}: {at} lies in {where} and not in the other's. Give both the same parameters and constraints"
        )


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    at = np.quantile(np.array(values, dtype=float), [0.1, 0.25, 0.5, 0.75, 0.9])
    names = ("p10", "p25", "median", "p75", "p90")
    return {"mean": round(fmean(values), 6)} | {name: round(float(one), 6) for name, one in zip(names, at, strict=True)}
