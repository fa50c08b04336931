"""One droplet: what went into it, when, and how hot it has been."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Droplet:
    """``volumes_ul`` and ``times_s``: for each pump, what it really delivered and how long it ran for that.

    ``hottest_c``: the highest temperature since it began, None where nothing on the bench heats it. ``number``: from 1.
    """

    number: int
    began_s: float
    ended_s: float = 0.0
    volumes_ul: dict[str, float] = field(default_factory=dict)
    times_s: dict[str, float] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    hottest_c: float | None = None

    def total_ul(self) -> float:
        return sum(self.volumes_ul.values())

    def share_percent(self, pump: str) -> float:
        """That pump's part of the whole volume."""
        total = self.total_ul()
        return 100.0 * self.volumes_ul.get(pump, 0.0) / total if total > 0 else 0.0

    def flow_ul_min(self) -> float:
        """The sum of the pumps' own mean rates: the flow while all of them run. That one began a second before the
        other does not dilute it."""
        return sum(60.0 * volume / self.times_s[pump] for pump, volume in self.volumes_ul.items() if volume > 0)

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "began_s": self.began_s,
            "ended_s": self.ended_s,
            "volumes_ul": dict(self.volumes_ul),
            "times_s": dict(self.times_s),
            "running": sorted(self.running),
            "hottest_c": self.hottest_c,
        }


def droplet_from_json(kept: Mapping[str, Any]) -> Droplet:
    return Droplet(
        number=kept["number"],
        began_s=kept["began_s"],
        ended_s=kept["ended_s"],
        volumes_ul=dict(kept["volumes_ul"]),
        times_s=dict(kept["times_s"]),
        running=set(kept["running"]),
        hottest_c=kept["hottest_c"],
    )
