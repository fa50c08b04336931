"""How unlike molecules are, from their SMILES: what a kernel over a column of molecules is made of.

    1 - Tanimoto of Morgan counts, radius 2       shared groups (Rogers and Hahn, J. Chem. Inf. Model. 50, 742 (2010))
    squared distance of RDKit's descriptors       size, polarity, charge ...; standardized over the list, clipped at 4

Each is scaled so that two molecules of the list are 1 apart in the mean, and stands beside the plain difference of two
names: the fit finds how much each counts. RDKit comes with ``pip install labloop[chem]``; without it molecules are
names alone, and the model of a proposal says so.
"""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from labloop.campaign.errors import SpecError

from .encoding import Array

CLIPPED = 4.0  # standard deviations; a counterion or a fluorous tag is far from all others in a dozen descriptors


def is_known() -> bool:
    """Whether RDKit is there."""
    return find_spec("rdkit") is not None


@cache
def unlike(smiles: tuple[str, ...]) -> tuple[Array, ...]:
    """Matrices, k x k each: by groups, by descriptors. Raises SpecError for a SMILES that RDKit cannot read."""
    if len(smiles) < 2:
        return ()
    chem, lists = import_module("rdkit.Chem"), import_module("rdkit.DataStructs")
    generators = import_module("rdkit.Chem.rdFingerprintGenerator")
    with import_module("rdkit.rdBase").BlockLogs():
        found = [chem.MolFromSmiles(one) for one in smiles]
    for text, molecule in zip(smiles, found, strict=True):
        if molecule is None:
            raise SpecError(f"{text}: RDKit cannot read this SMILES. Correct it, or give the names alone")
    generator = generators.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetCountFingerprint(molecule) for molecule in found]
    groups = 1.0 - np.array([lists.BulkTanimotoSimilarity(one, prints) for one in prints])
    return tuple(scaled(one) for one in (groups, distances(_descriptors(found))) if one.any())


def distances(table: Array) -> Array:
    """Squared distances between rows of a table, k x p, its columns standardized."""
    spread = table.std(axis=0)
    told = spread > 1e-9 * np.maximum(np.abs(table).max(axis=0), 1e-300)
    standard = np.clip((table[:, told] - table[:, told].mean(axis=0)) / spread[told], -CLIPPED, CLIPPED)
    return np.asarray(((standard[:, None, :] - standard[None, :, :]) ** 2).sum(axis=2))


def scaled(unlike: Array) -> Array:
    """The same so that two different rows are 1 apart in the mean."""
    count = len(unlike)
    return unlike * (count * (count - 1) / float(unlike.sum()))


def _descriptors(molecules: list[Any]) -> Array:
    """RDKit's descriptors that are numbers for all of them, k x p."""
    every = import_module("rdkit.Chem.Descriptors").descList
    table = np.array([[function(molecule) for _, function in every] for molecule in molecules], dtype=float)
    return np.asarray(table[:, np.all(np.isfinite(table), axis=0)])
