"""The hidden truth that the devices of a bench share: droplets, what is in the cell, and what it would show.

Making. Pumps that run together make one droplet. It is complete when all of them have stopped. A pump that starts
within JOIN_S of that still joins it, if it has not taken part yet (commands reach five pumps one after the other); a
pump that has taken part already begins the next droplet. What was really delivered decides, not what was wished.

Moving. Complete droplets wait, first in first out, for the cell.

    measure   loads the first waiting droplet if the cell holds none, and reads what the cell holds. Measuring again
              reads the same droplet again. A droplet that began after the one in the cell was measured pushes that
              one out; what clings to the walls (CARRY of it) stays and spoils the reading.
    rinse     washes out what the cell holds (droplet and remains); an empty cell is rinsed by flushing the first
              waiting droplet through, unmeasured. Cut short, it leaves remains: exp(-5 f) of them after the part f.

Inputs. ``q_tot`` is the flow in uL/min, ``temperature`` the droplet's highest temperature in degC, any other name
``q_X`` or ``X`` the share in percent of the pump ``pump_X`` or ``X``; ``pumps: {input: pump}`` in the lab file names
another pump. Every pump that runs counts in the total, so a pump that no input names (water) fills up.

Heat (an assumption of ours, not in the published table): between 38 and 42 degC nothing changes. Outside, the value
moves towards the table's worst by 1 - exp(-(d / 15 K)^2), d being the distance from that window; what counts is the
highest temperature that a droplet has reached. Where ``temperature`` is an input, the table says it and we do not.

Scatter. Each droplet has its own deviation (replicates of the table are droplets), each reading a little detector
noise. Both follow from the seed and the count, so the same acts in the same order give the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import spectra
from .droplet import Droplet, droplet_from_json
from .response import Response, load_response, read_table
from .spectra import Floats

# Simulated seconds. Five pumps on one line at 60 times speed start within about 10; nobody makes a new sample so soon.
JOIN_S = 30.0
CARRY = 0.2
WASH_RATE = 5.0
COMFORT_C = (38.0, 42.0)
HEAT_SCALE_K = 15.0
# Absorbance, at 100 ms; falls with the root of the integration time. Moves distance_to_target by less than 0.001.
DETECTOR_NOISE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Chemistry:
    """Which table answers, what of a droplet it is asked with, and how its answer shows in a spectrum."""

    response: Response
    inputs: tuple[str, ...]
    pumps: Mapping[str, str]
    worst: float
    encode: str = "distance"
    target: Floats

    def point(self, droplet: Droplet) -> dict[str, float]:
        return {name: self._input(name, droplet) for name in self.inputs}

    def _input(self, name: str, droplet: Droplet) -> float:
        if name == "q_tot":
            return droplet.flow_ul_min()
        if name == "temperature":
            return droplet.hottest_c if droplet.hottest_c is not None else sum(COMFORT_C) / 2
        return droplet.share_percent(self.pumps[name])

    def value(self, droplet: Droplet, seed: int) -> float:
        """What this very droplet is worth: the response, its heat, and its own scatter."""
        point = self.point(droplet)
        value = self.response.value(point)
        if "temperature" not in self.inputs and droplet.hottest_c is not None:
            off = max(COMFORT_C[0] - droplet.hottest_c, droplet.hottest_c - COMFORT_C[1], 0.0)
            value += (self.worst - value) * (1.0 - float(np.exp(-((off / HEAT_SCALE_K) ** 2))))
        # Cut at 2.5: a normal tail would, once in a campaign, make a droplet that no published replicate comes near.
        deviation = float(np.clip(_rng(seed, 1, droplet.number).standard_normal(), -2.5, 2.5))
        return value + self.response.scatter(point) * deviation

    def spectrum(self, value: float) -> Floats:
        if self.encode == "distance":
            return spectra.at_distance(max(value, 0.0), self.target)
        return spectra.with_height(value)


def refuse_bad_sample(given: Mapping[str, Any], instruments: Sequence[str]) -> dict[str, str]:
    """Raise ValueError for a ``sample:`` that cannot be meant, without fitting its table; {input: pump}."""
    known = {"response", "inputs", "output", "pumps", "raw", "fit", "target", "encode"}
    if unknown := sorted(set(given) - known):
        raise ValueError(f"sample: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if missing := sorted({"response", "inputs", "output"} - set(given)):
        raise ValueError(f"sample: {', '.join(missing)} missing")
    inputs, output, named = given["inputs"], given["output"], given.get("pumps", {})
    if not (isinstance(inputs, list | tuple) and inputs and all(isinstance(one, str) for one in inputs)):
        raise ValueError(f"sample: inputs = {inputs!r:.80}: must be columns of the table, like [q_agno3, q_tot]")
    if not isinstance(output, str):
        raise ValueError(f"sample: output = {output!r:.80}: must be a column of the table")
    if not isinstance(named, dict):
        raise ValueError(f"sample: pumps = {named!r:.80}: must be a pump for each input, like {{q_agno3: pump_left}}")
    if (encode := given.get("encode", "distance")) not in ("distance", "height"):
        raise ValueError(f"sample: encode = {encode!r:.80}; known are distance and height")
    read_table(Path(given["response"]), inputs, output)
    pumps: dict[str, str] = {}
    for name in inputs:
        if name in ("q_tot", "temperature"):
            continue
        plain = name.removeprefix("q_")
        wanted = [named[name]] if name in named else [f"pump_{plain}", plain]
        found = [pump for pump in wanted if pump in instruments]
        if not found:
            raise ValueError(
                f"sample: input {name} is the share of an instrument called {' or '.join(map(str, wanted))}, which the "
                f"lab does not have (it has {', '.join(instruments)}); name it under pumps: {{{name}: ...}}"
            )
        pumps[name] = found[0]
    return pumps


def read_chemistry(given: Mapping[str, Any], instruments: Sequence[str]) -> Chemistry:
    """The lab file's ``sample:`` with absolute paths. ``instruments``: the names in the lab.

    Keys: response, inputs, output; optional pumps, raw, fit, target, encode (distance | height). ``distance`` is for a
    value between 0 and 1 and makes its spectrum lie that far from the target; ``height`` makes it the height of a band
    at 520 nm. Raises ValueError for what is missing or does not fit.
    """
    pumps = refuse_bad_sample(given, instruments)
    response = load_response(
        given["response"], given["inputs"], given["output"], raw=given.get("raw"), fit=given.get("fit")
    )
    encode = given.get("encode", "distance")
    if encode == "distance" and not (response.lowest >= -0.05 and response.highest <= 1.05):
        raise ValueError(
            f"sample: {given['output']} reaches from {response.lowest:.3g} to {response.highest:.3g}, which no "
            "distance of two spectra does (0 to 1); write encode: height"
        )
    target = spectra.read_spectrum(Path(given["target"])) if given.get("target") else spectra.TARGET
    worst = response.highest if encode == "distance" else min(response.lowest, 0.0)
    return Chemistry(
        response=response, inputs=tuple(given["inputs"]), pumps=pumps, worst=worst, encode=encode, target=target
    )


class Sample:
    """The droplets of one bench. Without a chemistry every droplet is plain water."""

    def __init__(self, chemistry: Chemistry | None = None, seed: int = 0) -> None:
        self.chemistry = chemistry
        self.seed = seed
        self.waiting: list[Droplet] = []
        self.cell: Droplet | None = None
        self.measured_s = 0.0
        self.remains: list[tuple[float, float]] = []
        self.made = 0
        self.readings = 0
        self.heat_c: float | None = None

    # -- pumps -------------------------------------------------------------------------------------------------------
    def pump_starts(self, pump: str, at_s: float, resumes: bool = False) -> None:
        """``resumes``: it goes on after a pause, which is no second part in the same droplet."""
        droplet = self.waiting[-1] if self.waiting else None
        if droplet is not None and not droplet.running:
            fresh = resumes or pump not in droplet.volumes_ul
            if not fresh or at_s - droplet.ended_s > JOIN_S:
                droplet = None
        if droplet is None:
            self.made += 1
            droplet = Droplet(number=self.made, began_s=at_s, ended_s=at_s, hottest_c=self.heat_c)
            self.waiting.append(droplet)
        droplet.running.add(pump)
        droplet.volumes_ul.setdefault(pump, 0.0)
        droplet.times_s.setdefault(pump, 0.0)

    def pump_moved(self, pump: str, volume_ul: float, time_s: float) -> None:
        for droplet in self.waiting:
            if pump in droplet.running:
                droplet.volumes_ul[pump] += volume_ul
                droplet.times_s[pump] += time_s

    def pump_stops(self, pump: str, at_s: float) -> None:
        for droplet in self.waiting:
            if pump in droplet.running:
                droplet.running.discard(pump)
                droplet.ended_s = at_s
        # What was stopped before anything had moved is no droplet.
        self.waiting = [one for one in self.waiting if one.running or any(one.volumes_ul.values())]

    # -- heat --------------------------------------------------------------------------------------------------------
    def heated(self, hottest_c: float, now_c: float) -> None:
        """The bath since the last call: its highest temperature, and its temperature now."""
        self.heat_c = now_c
        for droplet in (*self.waiting, *([self.cell] if self.cell is not None else [])):
            droplet.hottest_c = hottest_c if droplet.hottest_c is None else max(droplet.hottest_c, hottest_c)

    # -- cell --------------------------------------------------------------------------------------------------------
    def measure(self, at_s: float, integration_ms: float = 100.0) -> Floats:
        """What the cell shows: absorbances on spectra.WAVELENGTHS_NM."""
        ready = self.waiting[0] if self.waiting and not self.waiting[0].running else None
        if self.cell is not None and ready is not None and ready.began_s > self.measured_s:
            self.remains = [(value, part * CARRY) for value, part in self.remains]
            self.remains.append((self._value(self.cell), CARRY * (1.0 - sum(part for _, part in self.remains))))
            self.cell = None
        if self.cell is None and ready is not None:
            self.cell = self.waiting.pop(0)
        self.measured_s = at_s
        self.readings += 1
        parts = list(self.remains)
        if self.cell is not None:
            parts.append((self._value(self.cell), 1.0 - sum(part for _, part in self.remains)))
        shown: Floats = np.zeros_like(spectra.WAVELENGTHS_NM)
        for value, part in parts:
            if self.chemistry is not None:
                shown = shown + part * self.chemistry.spectrum(value)
        noise = DETECTOR_NOISE * float(np.sqrt(100.0 / integration_ms))
        return np.asarray(
            shown + noise * _rng(self.seed, 2, self.readings).standard_normal(shown.shape), dtype=np.float64
        )

    def rinse(self, part: float) -> None:
        """The cell was rinsed for the part ``part`` (0 to 1) of a whole rinse."""
        if self.cell is None and not self.remains and self.waiting and not self.waiting[0].running:
            self.cell = self.waiting.pop(0)
        left = 0.0 if part >= 1.0 else float(np.exp(-WASH_RATE * max(part, 0.0)))
        if self.cell is not None:
            self.remains.append((self._value(self.cell), 1.0 - sum(share for _, share in self.remains)))
            self.cell = None
        self.remains = [(value, share * left) for value, share in self.remains if share * left > 1e-3]

    def _value(self, droplet: Droplet) -> float:
        return self.chemistry.value(droplet, self.seed) if self.chemistry is not None else 0.0

    # -- state -------------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        return {
            "waiting": [droplet.as_json() for droplet in self.waiting],
            "cell": self.cell.as_json() if self.cell is not None else None,
            "measured_s": self.measured_s,
            "remains": [list(part) for part in self.remains],
            "made": self.made,
            "readings": self.readings,
            "heat_c": self.heat_c,
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        self.waiting = [droplet_from_json(droplet) for droplet in kept["waiting"]]
        self.cell = droplet_from_json(kept["cell"]) if kept["cell"] is not None else None
        self.measured_s = kept["measured_s"]
        self.remains = [(value, part) for value, part in kept["remains"]]
        self.made, self.readings, self.heat_c = kept["made"], kept["readings"], kept["heat_c"]


def _rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng([abs(part) for part in seed])
