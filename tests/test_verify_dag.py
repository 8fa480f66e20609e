"""Certificates of networks with branches and maxima: the oracle's partitions pass, others fail."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import splinecam.proof.certificate
from comparison import planar_slice
from families_dag import FAMILIES, STYLES, example
from oracle_as_partition import OracleAsPartition
from oracle_graph import partition_graph
from splinecam.convert import convert
from splinecam.exact import ExactNetwork
from splinecam.proof.certificate import Certificate
from splinecam.proof.enclosures import Ball, EnclosedMaximum, EnclosedNetwork
from splinecam.proof.verify import verify as verify_partition


def described(family: str, style: str, seed: int) -> tuple[OracleAsPartition, nn.Module]:
    model, graph, polygon = example(family, style, seed)
    names = [step.name for step in convert(model, (2,)).piecewise_steps]
    slice_ = planar_slice(polygon)
    return OracleAsPartition(partition_graph(graph, slice_.polygon), slice_, names), model


def verify(p: OracleAsPartition, model: nn.Module, *, strict: bool = True) -> Certificate:
    return verify_partition(p, model, strict=strict)  # type: ignore[arg-type]


def failed(certificate: Certificate) -> set[str]:
    return {check.name for check in certificate.checks if not check.passed}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("family", FAMILIES)
def test_partitions_are_proved(family, style):
    for seed in range(2):
        certificate = verify(*described(family, style, seed))
        assert certificate.passed, str(certificate)
        assert certificate.checks[-1].name == "signs"


@pytest.mark.parametrize("family", ["pooled line", "pooled residual", "dense"])
def test_batches_find_the_same(family, monkeypatch):
    p, model = described(family, "integer", 1)
    whole = verify(p, model)
    monkeypatch.setattr(splinecam.proof.certificate, "ENTRIES", 100)
    monkeypatch.setattr(splinecam.proof.certificate, "HELD_PATTERNS", 200)
    monkeypatch.setattr(splinecam.proof.certificate.batches, "__defaults__", (100,))
    parts = verify(p, model)
    assert parts.passed
    assert [c.n_checked for c in parts.checks] == [c.n_checked for c in whole.checks]
    assert parts.n_interval + parts.n_exact == whole.n_interval + whole.n_exact


def test_model_with_a_head_is_proved():
    p, model = described("residual", "generic", 1)
    certificate = verify(p, nn.Sequential(model, nn.Softmax(dim=1)))
    assert "layers" in failed(certificate)  # the names of layers have changed
    p.layer_names = tuple(f"0.{name}" if name else "0" for name in p.layer_names)
    certificate = verify(p, nn.Sequential(model, nn.Softmax(dim=1)))
    assert certificate.passed, str(certificate)


# --- Wrong partitions ------------------------------------------------------------------------


@pytest.fixture
def pooled() -> tuple[OracleAsPartition, nn.Module]:
    return described("pooled image", "generic", 1)


def test_other_model_fails(pooled):
    _, other = described("pooled image", "generic", 2)
    assert {"zero lines", "affine maps", "patterns"} <= failed(verify(pooled[0], other))


def test_wrong_member_is_named(pooled):
    p, model = pooled
    region, unit = 3, 9 + 2
    p.all_patterns[region, unit] = (p.all_patterns[region, unit] + 1) % 4
    certificate = verify(p, model)
    assert {"flips", "patterns"} <= failed(certificate)
    named = [(f.region, f.unit) for f in certificate.failures if f.check == "patterns"]
    assert named == [(region, 2)]


def test_position_that_no_group_has_is_named(pooled):
    p, model = pooled
    p.all_patterns[0, 9] = 4
    certificate = verify(p, model)
    assert "pieces" in failed(certificate)
    (message,) = [str(f) for f in certificate.failures if f.check == "pieces"]
    assert "region 0: unit 0 of layer" in message
    assert message.endswith("there is no piece 4")


def test_padding_is_no_piece():
    p, model = described("pooled line", "generic", 1)
    first = p.layer_sizes[0]
    p.all_patterns[0, first] = 0  # the window's first position is outside
    assert "pieces" in failed(verify(p, model))


def test_moved_vertex_is_seen(pooled):
    p, model = pooled
    inner = np.setdiff1d(np.arange(p.n_vertices), p.edges[p.edge_layers < 0])
    p.vertices[inner[0]] += [1e-6, 2e-6]
    assert "zero lines" in failed(verify(p, model))


def test_second_of_equal_members_is_seen_by_the_proof():
    """In a window of zeros another member than the first is as large: only signs tell."""
    p, model = described("pooled residual", "zero bias", 1)
    certificate = verify(p, model)
    assert certificate.passed
    program = convert(model, (2,))
    first, size = sum(p.layer_sizes[:2]), p.layer_sizes[2]
    centroids = np.array(
        [p.vertices[loop].mean(0) for loop in np.split(p.region_vertices, p.region_offsets[1:-1])]
    )
    (members,) = [z for z in program.preactivations(torch.from_numpy(centroids)) if z.ndim == 3]
    ties = (members == members.amax(2, keepdim=True)).sum(2) > 1
    region, unit = np.argwhere(ties.numpy())[0]
    everywhere = np.flatnonzero(
        p.all_patterns[:, first + unit] == p.all_patterns[region, first + unit]
    )
    assert size > unit
    other = int(np.flatnonzero((members[region, unit] == members[region, unit].max()).numpy())[-1])
    alone = [
        r for r in everywhere if ties[r, unit] and members[r, unit, other] == members[r, unit].max()
    ]
    p.all_patterns[alone, first + unit] = other
    certificate = verify(p, model)
    assert not certificate.passed
    assert failed(certificate) <= {"flips", "signs", "zero lines"}


# --- Bounds ----------------------------------------------------------------------------------


def holds(ball: Ball, exact: np.ndarray) -> bool:
    """Whether exact fractions are in a ball."""
    parts = zip(ball.mid.ravel().tolist(), ball.rad.ravel().tolist(), exact.ravel(), strict=True)
    return all(abs(Fraction(mid) - x) <= Fraction(rad) for mid, rad, x in parts)


@pytest.mark.parametrize("family", FAMILIES)
def test_balls_hold_the_exact_network(family):
    model, graph, polygon = example(family, "generic", 1)
    slice_ = planar_slice(polygon)
    p = partition_graph(graph, slice_.polygon)
    enclosed = EnclosedNetwork(convert(model, (2,)), slice_)
    exact = ExactNetwork(convert(model, (2,)), slice_)
    middles = np.array([np.mean(polygon, axis=0) for polygon in p.polygons], float)
    spread = np.random.default_rng(0).uniform(0, 1e-9, size=middles.shape)
    values = enclosed.preactivations(Ball(middles + spread, spread))
    rows = enclosed.rows(np.array(p.patterns, np.uint8))
    for number, (layer, z, columns) in enumerate(zip(enclosed.layers, values, rows, strict=True)):
        scale = Fraction(1, 2 ** exact.power(number))
        for region in range(0, p.n_regions, 3):
            pattern = bytes(p.patterns[region])
            u, v = map(Fraction, middles[region].tolist())
            if isinstance(layer, EnclosedMaximum):
                where = np.nonzero(layer.members >= 0)
                places = list(zip(*(index.tolist() for index in where), strict=True))
                found = exact.members(number, pattern, places)
                at, columns_at = z[region][where], columns[region][:, *where]
            else:
                found = exact.rows(number, pattern)
                at, columns_at = z[region], columns[region]
            expected = np.array([[x * scale for x in row] for row in found], object)
            assert holds(columns_at, expected.T)
            assert holds(at, expected @ np.array([u, v, 1]))
