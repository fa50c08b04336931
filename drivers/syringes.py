"""Syringes by maker: the inside diameters that pumps are told, and the diameter that cannot be right.

A wrong diameter makes every volume wrong by its square, and nothing shows it: so a diameter in the lab file that
contradicts its maker's is refused, and one that is left out is looked up.

Sources: New Era NE-1000 user manual 1200-01, 12.7 "Syringe diameters and rate limits" (BD plastic, Terumo, SGE to
100 uL); Hamilton's gastight 1000 and 1700 series and SGE's from 250 uL have a scale of 60 mm, so that the diameter
follows from the volume (1 mL: 4.61 mm, 2.5 mL: 7.28 mm). BD's 50 mL barrel is the one of the 60 mL syringe.
Two lists that others keep agree with every number here to 0.2 %, but for an SGE of 10 uL: the presets of labmcp-new-era
0.1.2 (BD, Terumo, SGE) and the pump tables of ManyMaze (BD Luer-Lok, Terumo, Hamilton 1000 and 1700, SGE). The latter
has BD's Plastipak apart, wider by 0.5 % to 1.7 % (1 mL: 4.78, 3 mL: 8.66, 10 mL: 14.50 mm): who has those writes the
diameter.
"""

import math

from labloop.bench import SpecError, written

# {maker: {volume in uL: inside diameter in mm}}
BD = {1e3: 4.699, 3e3: 8.585, 5e3: 11.99, 1e4: 14.43, 2e4: 19.05, 3e4: 21.59, 5e4: 26.59, 6e4: 26.59}
TERUMO = {1e3: 4.70, 3e3: 8.95, 5e3: 13.00, 1e4: 15.80, 2e4: 20.15, 3e4: 23.10, 6e4: 29.70}
SCALE_MM = 60.0
GASTIGHT_UL = (10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4)
GASTIGHT = {volume: round(2.0 * math.sqrt(volume / (math.pi * SCALE_MM)), 3) for volume in GASTIGHT_UL}
MAKERS = {"bd": BD, "terumo": TERUMO, "hamilton": GASTIGHT, "sge": GASTIGHT}
# Makers' lists differ by about 1 % (at worst 5 %: an SGE of 10 uL, 0.485 or 0.461 mm); the next size is 13 % away.
ALIKE = 0.06


def diameter_of(maker: str, volume_ul: float) -> float | None:
    """The inside diameter in mm of a maker's syringe; None: the table does not have it."""
    sizes = MAKERS.get(_plain(maker), {})
    return next((mm for volume, mm in sizes.items() if math.isclose(volume, volume_ul, rel_tol=1e-6)), None)


def refuse_contradiction(maker: str, volume_ul: float, diameter_mm: float) -> None:
    """Raise SpecError for a diameter that the maker's syringe of this volume does not have."""
    known = diameter_of(maker, volume_ul)
    if known is not None and abs(diameter_mm - known) > ALIKE * known:
        raise SpecError(
            f"diameter = {written(diameter_mm, 'mm')} is not that of a {maker} syringe of {written(volume_ul, 'uL')}, "
            f"which has {written(known, 'mm')} inside. Measure it, correct one of the two, or leave the diameter out"
        )


def makers_with(volume_ul: float) -> str:
    """The makers whose syringe of this volume is known, for a message."""
    names = {"bd": "BD", "terumo": "Terumo", "hamilton": "Hamilton", "sge": "SGE"}
    return ", ".join(names[maker] for maker in MAKERS if diameter_of(maker, volume_ul) is not None) or "none"


def _plain(maker: str) -> str:
    return maker.strip().lower()
