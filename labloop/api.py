"""labloop from Python: a campaign to ask and tell, and ``labloop run`` as a function."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from labloop.campaign import events as e
from labloop.campaign import view
from labloop.campaign.amending import sentence
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import CampaignSpec, read_spec, spec_from_dict
from labloop.campaign.state import CampaignState
from labloop.runner import registry, session
from labloop.runner.benches import refuse_bad_faults
from labloop.runner.look import see
from labloop.runner.told import Told

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Campaign", "Proposal", "Run", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One trial to make.

    settings: {parameter: value}, plain numbers in the declared units, or words. predicted: {outcome: (mean, sd)} of the
    noiseless outcome in its unit, empty while there is no model. source: sobol, lhs, random or model. why: in words.
    """

    trial: int
    settings: dict[str, e.Value]
    predicted: dict[str, tuple[float, float]] = field(default_factory=dict)
    source: str = ""
    why: str = ""


class Campaign:
    """A campaign whose hands are yours: ask what to try, tell what came of it.

        campaign = labloop.Campaign("campaigns/quickstart.yaml", run="runs/by-hand")
        for proposal in campaign.ask(2):
            campaign.tell(proposal.trial, {"spectrum_loss": measure(proposal.settings)})

    campaign: a campaign file, or a dict of the same grammar (relative paths then start in the current folder). run: the
    folder that keeps the facts, taken up where it stands when it holds this campaign; None: in memory. planner:
    "process", a warm process of its own, or "inline", in this one. seed: instead of the campaign's.

    Raises:
        SpecError: the campaign is not right (every complaint), its recipe leaves the limits of its lab somewhere in the
            space, or the folder holds another one.
        StoreLocked: another process writes the folder.
    """

    def __init__(
        self,
        campaign: str | Path | Mapping[str, Any],
        run: str | Path | None = None,
        *,
        planner: Literal["process", "inline"] = "process",
        seed: int | None = None,
        by: str = "a person",
    ) -> None:
        if planner not in ("process", "inline"):
            raise SpecError(f"planner = {planner!r}: must be 'process' or 'inline'")
        spec = spec_from_dict(campaign, Path.cwd()) if isinstance(campaign, Mapping) else read_spec(campaign)
        self._by = by
        self._told = Told.begin(spec, Path(run) if run is not None else None, planner=planner, seed=seed)

    def ask(self, n: int = 1) -> list[Proposal]:
        """Propose ``n`` trials (1 to 1000). Open proposals are pending points, so asking again before telling is fine.

        Fewer where no more may be proposed. Raises SpecError, NothingLeftError (none may), PlannerError.
        """
        return [
            Proposal(
                trial=one.trial,
                settings=dict(one.settings),
                predicted={name: (hope.mean, hope.sd) for name, hope in one.predicted.items()},
                source=one.source,
                why=one.reason,
            )
            for one in self._told.ask(n)
        ]

    def tell(self, trial: int, outcomes: Mapping[str, Any] | None = None, *, failed: str = "", void: str = "") -> None:
        """Write down what came of a trial, or a part of it.

        outcomes: {name: value}, those that are known by now. While others are owed the trial is awaiting (its row in
        ``trials`` has NaN there), the model learns from what is known, and the rest is told later in the same way. A
        value is a number in the outcome's unit, ``(mean, sd)``, ``"12.34(5)"``, ``"530 nm"``, or ``"missing"``: it will
        not come. failed: why the chemistry failed, which teaches the model. void: the bench's fault, which does not.

        Raises SpecError for what is told, StateError for an outcome that is known already (the first is kept, unless
        it was marked as wrong).
        """
        self._told.tell(trial, outcomes, failed=failed, void=void, by=self._by)

    def prefer(self, trial: int, over: int, *, tie: bool = False, why: str = "") -> None:
        """Say which of two trials is better, where an outcome has ``goal: prefer``; ``tie``: they are equally good.

        People are noisy: what contradicts an earlier comparison counts as much. Comparing measures trials that were
        open, where nothing else of them is to be told. What all comparisons together say of a trial is its outcome, a
        utility: a difference of 1 is told right by 76 of 100 comparisons.

        Raises SpecError for what is told, StateError for a trial that failed or is not made yet.
        """
        self._told.prefer(trial, over, tie=tie, by=self._by, why=why)

    def compare(self, n: int = 1) -> list[tuple[int, int]]:
        """The pairs of trials that are most worth comparing, best first; empty where no answer could change much.

        Raises SpecError where trials are not compared.
        """
        from labloop.planner import worth_comparing

        pairs = worth_comparing(self.spec, self.state, n, self._told.former)
        return [(one.trial, one.other) for one in pairs if one.is_worth_it]

    def amend(self, campaign: str | Path | Mapping[str, Any], *, why: str = "") -> list[str]:
        """Change the campaign from here on: ``campaign`` is all of it as it is to be. Gives what is another, in words.

        Where trials may lie, what is wanted, how it plans and when it ends may be amended (see docs/amending.md); what
        was measured so far stays in use. A Campaign that is opened again in this folder is given the new one.

        Raises SpecError for what may not be amended, or where nothing is another.
        """
        spec = spec_from_dict(campaign, Path.cwd()) if isinstance(campaign, Mapping) else read_spec(campaign)
        return [sentence(change) for change in self._told.amend(spec, by=self._by, why=why)]

    def tell_settings(
        self,
        settings: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        outcomes: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    ) -> list[int]:
        """Tell data that nobody proposed: one mapping each, or lists of the same length, all or nothing.

        Settings are in the declared units, or ``"90 degC"``. They count as initial trials. Gives the trials' numbers.
        Raises SpecError with every complaint.
        """
        return self._told.tell_settings(settings, outcomes, by=self._by)

    def enough(self) -> str | None:
        """Why a run of this campaign would end here, by its budget of trials or ``stop_when``; None: it would go on.

        The model's view (``regret_below``, ``chance_below``) is the one of the last proposal. ``ask`` refuses nothing
        for it.
        """
        return self._told.enough()

    def best(self) -> dict[str, Any] | list[dict[str, Any]] | None:
        """The best measured trial as {trial, settings, outcomes: {name: {value, unit, sd?}}}; None: there is none yet.

        With several goals and no weights: the list of the Pareto set.
        """
        return view.best(self.spec, self.state)

    def trials(self) -> "pd.DataFrame":
        """Every trial as a row; see labloop.study.export.trials_frame for the columns and their units."""
        return _frame(self.spec, self.state)

    @property
    def spec(self) -> CampaignSpec:
        """The campaign as it is in force."""
        return self._told.spec

    @property
    def state(self) -> CampaignState:
        """What the facts add up to."""
        return self._told.state

    def close(self) -> None:
        """Let go of the folder and end the planner's process; harmless twice."""
        self._told.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that has ended. exit_code: of ``labloop run`` (0 done, 3 bench, 4 stopped, 6 halted, see its table)."""

    folder: Path
    exit_code: int

    def status(self) -> dict[str, Any]:
        """What ``labloop status --json`` prints."""
        return see(self.folder).status()

    def best(self) -> dict[str, Any] | list[dict[str, Any]] | None:
        """The best trial, or the Pareto set, as in Campaign.best."""
        seen = see(self.folder)
        return view.best(seen.spec, seen.state)

    def trials(self) -> "pd.DataFrame":
        """Every trial as a row, as in Campaign.trials."""
        seen = see(self.folder)
        return _frame(seen.spec, seen.state)


def run(
    path: str | Path,
    run: str | Path | None = None,
    *,
    lab: str | Path | None = None,
    live: bool = False,
    seed: int | None = None,
    trials: int | None = None,
    speed: float | None = None,
    virtual: bool = False,
    faults: str | None = None,
    listen: session.Listener | None = None,
    by: str = "",
) -> Run:
    """``labloop run`` from Python: run a campaign file to the end of its budget, and give the run.

    run: its folder (default: runs/<campaign>-<n>), resumed when it holds this campaign. lab: another lab file. live:
    real instruments, without a question. speed: simulated time over real time. virtual: in process, reproducible.
    faults: of the simulators. listen: called with every fact and the state it leads to. by: who does this; a run
    that somebody else has paused is theirs to resume.

    Raises SpecError (nothing moved), StoreError, BenchOwes.
    """
    refuse_bad_faults(faults)
    order = session.Order(
        campaign=Path(path), run=Path(run) if run is not None else None, lab=Path(lab) if lab is not None else None,
        live=live, seed=seed, trials=trials, speed=speed, virtual=virtual, faults=faults,
    )  # fmt: skip
    folder = session.run_folder(order)
    code = session.begin(replace(order, run=folder), partial(_heard, folder, listen), by=by)
    return Run(folder=folder, exit_code=code)


def _heard(folder: Path, listen: session.Listener | None, record: e.Record, state: CampaignState) -> None:
    if isinstance(record.event, e.RunStarted):
        registry.enter(folder)
    if listen is not None:
        listen(record, state)


def _frame(spec: CampaignSpec, state: CampaignState) -> "pd.DataFrame":
    from labloop.study import export

    return export.trials_frame(spec, state)
