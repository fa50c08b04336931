"""A storyteller: facts of a campaign like the quickstart's, with fixed stamps, written by the journal itself."""

import hashlib
import math
import random
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

from labloop.campaign import events as e
from labloop.campaign.events import Amount, Prediction, Reading
from labloop.journal import Blobs, Journal

BEGUN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SPEED = 60.0
PUMPS = ("pump_agno3", "pump_pva", "pump_tsc", "pump_seed", "pump_water")
BREAD = """\
labloop: 1
campaign: bread
title: Bread that people like
parameters:
  sugar: {range: [10, 90], unit: g}
outcomes:
  taste: {goal: prefer}
budget: {trials: 20}
"""
PARAMETERS = {
    "q_agno3": (4.53, 42.81),
    "q_pva": (10, 40),
    "q_tsc": (0.5, 30.5),
    "q_seed": (0.5, 19.5),
    "q_tot": (200, 983),
}
LAB = "labloop: 1\nname: droplet-bench\ninstruments:\n" + "".join(
    f"  {name}: {{driver: 'drivers.{driver}', simulator: 'simulators.{driver}', port: 'sim:'}}\n"
    for name, driver in (
        *((pump, "new_era:NE1000") for pump in PUMPS),
        ("hotplate", "ika:RCT"),
        ("spectrometer", "spectrometer:Spectrometer"),
    )
)
CAMPAIGN = """\
labloop: 1
campaign: silver-nanoparticles
title: Silver nanoprisms in a droplet reactor, spectrum as close as can be to the target
lab: lab.yaml
parameters:
  q_agno3: {range: [4.53, 42.81], unit: percent}
  q_pva:   {range: [10.0, 40.0], unit: percent}
  q_tsc:   {range: [0.5, 30.5], unit: percent}
  q_seed:  {range: [0.5, 19.5], unit: percent}
  q_tot:   {range: [200, 983], unit: uL/min}
outcomes:
  spectrum_loss: {goal: minimize, from: spectrum, analysis: distance_to_target, target: target_spectrum.csv}
trial:
  - together:
      - pump_agno3.dispense: {rate: $q_tot * $q_agno3, time: 20 s}
      - pump_pva.dispense:   {rate: $q_tot * $q_pva, time: 20 s}
      - pump_tsc.dispense:   {rate: $q_tot * $q_tsc, time: 20 s}
      - pump_seed.dispense:  {rate: $q_tot * $q_seed, time: 20 s}
      - pump_water.dispense: {rate: $q_tot * (100 percent - $q_agno3 - $q_pva - $q_tsc - $q_seed), time: 20 s}
    if_interrupted: discard
  - hotplate.hold:         {temperature: 40 degC, tolerance: 1 K, time: 30 s, reach_by: 15 min}
  - spectrometer.measure:  {integration: 100 ms, save_as: spectrum}
cleanup:
  - spectrometer.rinse:    {}
budget: {trials: 40}
"""
TOLD = """\
labloop: 1
campaign: two-wishes
title: Two wishes at once
parameters:
  temperature: {range: [90, 160], unit: degC, step: 5}
  solvent: {choices: [DMF, DMSO, NMP]}
outcomes:
  yield: {goal: maximize, from: told, unit: percent}
  cost: {goal: minimize, from: told}
budget: {trials: 20}
"""
TARGET = "wavelength_nm,absorbance\n" + "".join(
    f"{nm},{math.exp(-(((nm - 530) / 60) ** 2)):.4f}\n" for nm in range(400, 801, 20)
)
DIGEST = hashlib.sha256(TARGET.encode()).hexdigest()


class Story:
    """Tells a run fact by fact. ``t_s`` is the run's own time; stamps follow it ``SPEED`` times slower."""

    def __init__(self, folder: Path, mode: str = "simulated", campaign: str = CAMPAIGN) -> None:
        folder.mkdir(parents=True)
        (folder / "blobs").mkdir()
        (folder / "requests").mkdir()
        (folder / "campaign.yaml").write_text(campaign)
        (folder / "lab.yaml").write_text(LAB)
        (folder / "blobs" / DIGEST).write_text(TARGET)
        self.folder = folder
        self.t_s = 0.0
        self.speed = SPEED if mode == "simulated" else 1.0
        self.steps = 0
        self.random = random.Random(7)
        self.facts: list[tuple[str, list[e.Fact]]] = []
        self.say(
            e.CampaignOpened(
                campaign="silver-nanoparticles", run_id="run-1", version="0.1.0", mode=mode, seed=7, speed=self.speed,
                campaign_sha256=hashlib.sha256(campaign.encode()).hexdigest(),
                lab_sha256=hashlib.sha256(LAB.encode()).hexdigest(), files={"target_spectrum.csv": DIGEST},
            )
        )  # fmt: skip

    def now(self) -> datetime:
        """Return the wall's time at the story's present."""
        return BEGUN + timedelta(seconds=self.t_s / self.speed)

    def _stamp(self) -> str:
        return self.now().isoformat(timespec="microseconds")

    def say(self, *facts: e.Fact) -> None:
        """Facts of the present time."""
        stamp = self._stamp()
        if not self.facts or self.facts[-1][0] != stamp:
            self.facts.append((stamp, []))
        self.facts[-1][1].extend(facts)

    def close(self) -> Path:
        """Write it all down, one transaction for each moment; give the run's folder."""
        stamps = iter([stamp for stamp, _ in self.facts])
        with Journal.create(self.folder / "journal.db", at_fn=lambda: next(stamps)) as journal:
            for _, facts in self.facts:
                journal.append(*facts)
        return self.folder

    def start(self) -> None:
        """A runner takes it up and opens the bench."""
        self.say(e.RunStarted())
        for name in (*PUMPS, "hotplate", "spectrometer"):
            model = {"hotplate": "RCT basic", "spectrometer": "SPEC-1"}.get(name, "NE-1000")
            self.say(e.InstrumentIdentified(instrument=name, model=model, firmware="3.9"))
            self.say(e.InstrumentConfigured(instrument=name))

    def settings(self, trial: int) -> dict[str, e.Value]:
        """Return settings that draw nearer to a good place as the trials go on."""
        pull = min(max(trial - 8, 0) / 20, 0.8)
        return {
            name: round(low + (high - low) * ((1 - pull) * self.random.random() + pull * 0.4), 2)
            for name, (low, high) in PARAMETERS.items()
        }

    def propose(self, trial: int) -> dict[str, e.Value]:
        """The planner proposes a trial: Sobol points first, the model's then."""
        settings = self.settings(trial)
        if trial <= 8:
            self.say(e.ProposalMade(trial=trial, sample=f"s{trial}", settings=settings, source="sobol", seed=trial))
            return settings
        mean = 0.62 * math.exp(-trial / 14) + 0.08 + 0.05 * self.random.random()
        predicted = {"spectrum_loss": Prediction(mean=mean, sd=0.02 + 0.6 / trial)}
        self.say(
            e.ProposalMade(
                trial=trial, sample=f"s{trial}", settings=settings, source="model", seed=trial, predicted=predicted,
                model="SingleTaskGP, Matern-5/2", acquisition="qLogNEI", acquisition_value=-2.0 - trial / 10,
            )
        )  # fmt: skip
        return settings

    def loss(self, trial: int) -> float:
        """Return a loss that falls and scatters."""
        return 0.62 * math.exp(-max(trial - 6, 0) / 10) * (0.5 + self.random.random()) * 0.9 + 0.07

    def spectrum(self, trial: int) -> str:
        """Keep a spectrum, one peak of which wanders towards the target's as the trials go on; give its name."""
        peak = 530 + 180 / trial
        axis = [400.0 + 2 * n for n in range(201)]
        values = [math.exp(-(((nm - peak) / (50 + 200 / (trial + 4))) ** 2)) for nm in axis]
        return Blobs(self.folder / "blobs").put(struct.pack("<402d", *axis, *values))

    def begin(
        self, trial: int | None, stage: int, names: tuple[str, ...], action: str, phase: str = "trial", **asked: Amount
    ) -> list[str]:
        """Steps of one stage start together."""
        ids = []
        for index, name in enumerate(names):
            self.steps += 1
            ids.append(f"step-{self.steps}")
            self.say(
                e.StepStarted(
                    step=ids[-1], trial=trial, phase=phase, stage=stage, index=index, instrument=name, action=action,
                    settings=asked, act=action == "dispense", t_s=self.t_s,
                )
            )  # fmt: skip
        return ids

    def finish(self, ids: list[str], readings: dict[str, Reading] | None = None, **achieved: Amount) -> None:
        """Steps end well."""
        for step in ids:
            self.say(e.StepFinished(step=step, achieved=achieved, readings=readings or {}, t_s=self.t_s))

    def dispense(self, trial: int) -> list[str]:
        """The five pumps begin."""
        return self.begin(trial, 0, PUMPS, "dispense", rate=Amount(81.25, "uL/min"), time=Amount(20.0, "s"))

    def trial(self, number: int) -> None:
        """One whole trial that goes well."""
        self.propose(number)
        self.say(e.TrialStarted(trial=number, t_s=self.t_s))
        pumps = self.dispense(number)
        self.t_s += 20
        self.finish(pumps, volume=Amount(27.06, "uL"))
        hold = self.begin(number, 1, ("hotplate",), "hold", temperature=Amount(40.0, "degC"), time=Amount(30.0, "s"))
        self.t_s += 30 + 4 * self.random.random()
        self.finish(hold, temperature=Amount(40.2, "degC"))
        look = self.begin(number, 2, ("spectrometer",), "measure", integration=Amount(100.0, "ms"))
        self.t_s += 2
        self.finish(look, {"spectrum": Reading(blob=self.spectrum(number), length=402, unit="absorbance")})
        self.say(
            e.TrialMeasured(
                trial=number, outcomes={"spectrum_loss": Reading(value=self.loss(number), sd=0.012)}, t_s=self.t_s
            )
        )
        self.clean(number)

    def clean(self, number: int) -> None:
        """The cell is rinsed, the trial closed."""
        rinse = self.begin(number, 0, ("spectrometer",), "rinse", phase="cleanup")
        self.t_s += 6
        self.finish(rinse)
        self.say(e.TrialClosed(trial=number, t_s=self.t_s))
