"""The engine against the exact oracle on networks with branches and maxima of groups.

Each test compares many networks, so that the whole stays one readable report; a failure names the
network by what reproduces it. The marker ``exhaustive`` runs the same with many more seeds.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from comparison import assert_same_geometry, assert_same_structure, on
from families import perturb
from families_dag import FAMILIES, STYLES, Example, example
from oracle_graph import OracleGraph, partition_graph
from splinecam.errors import SplineCamError
from splinecam.proof.verify import verify

SCALES = [1e-8, 1e-12, 1e-15]


def check_all(examples: Iterable[tuple[str, Example]]) -> None:
    """Compare networks with the oracle; report all that differ."""
    wrong = []
    for name, (model, graph, polygon) in examples:
        expected = partition_graph(graph, polygon)
        try:
            p = on(model, polygon)
            p.check_invariants()
            assert_same_structure(p, expected)
            assert_same_geometry(p, expected)
        except (AssertionError, SplineCamError, KeyError) as error:
            wrong.append(f"{name}: {type(error).__name__} {str(error).splitlines()[:1]}")
    assert not wrong, "\n".join(wrong)


def perturbed(family: str, style: str, seed: int, scale: float) -> Example:
    model, _, polygon = example(family, style, seed)
    near = perturb(model, np.random.default_rng([13, seed]), scale, 0.3)
    graph = OracleGraph()
    near.describe(graph)
    return near, graph, polygon


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("family", FAMILIES)
def test_families(family, style):
    check_all((f"{family} {style} {seed}", example(family, style, seed)) for seed in range(5))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("family", FAMILIES)
def test_perturbed_families(family, scale):
    check_all(
        (f"{family} {style} {seed} perturbed", perturbed(family, style, seed, scale))
        for style in ("integer", "zero bias", "duplicates")
        for seed in range(2)
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("family", FAMILIES)
def test_many_families(family, style):
    check_all((f"{family} {style} {seed}", example(family, style, seed)) for seed in range(100))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("family", FAMILIES)
def test_partitions_are_proved(family, style):
    model, _, polygon = example(family, style, 1)
    certificate = verify(on(model, polygon), model, strict=True)
    assert certificate.passed, str(certificate)
