"""Certificates: right partitions pass, wrong ones fail where they are wrong, and bounds hold."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import families
from comparison import loops, on
from splinecam import InvalidModelError, Partition, Slice, compute_partition
from splinecam.convert import convert
from splinecam.exact import ExactNetwork
from splinecam.proof.certificate import Certificate
from splinecam.proof.enclosures import Ball, EnclosedNetwork
from splinecam.proof.verify import verify

SQUARE = Slice.box((-1, 1), (-1, 1))


def mlp(*widths: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    modules: list[nn.Module] = []
    for width, following in pairwise(widths):
        modules += [nn.Linear(width, following), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def units(weight: list[tuple[float, float]], bias: list[float]) -> nn.Sequential:
    """ReLU units with given zero lines, and their sum."""
    layer, total = nn.Linear(2, len(bias)).double(), nn.Linear(len(bias), 1).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight, dtype=torch.float64))
        layer.bias.copy_(torch.tensor(bias, dtype=torch.float64))
        total.weight.fill_(1)
        total.bias.zero_()
    return nn.Sequential(layer, nn.ReLU(), total)


def failed(certificate: Certificate) -> set[str]:
    return {check.name for check in certificate.checks if not check.passed}


# --- Right partitions ------------------------------------------------------------------------


@pytest.mark.parametrize("name", families.FAMILIES)
def test_partitions_are_proved(name):
    model, polygon = families.example(name, seed=0)
    p = on(model, polygon)
    certificate = verify(p, model, strict=True)
    assert certificate.passed, str(certificate)
    assert certificate.failures == ()
    steps = convert(model, (2,)).piecewise_steps
    n_hinges = sum(step.n_units * len(step.breakpoints) for step in steps)
    assert certificate.n_interval + certificate.n_exact == p.n_vertices * n_hinges


@pytest.mark.parametrize("seed", range(30))
def test_mixtures_are_proved(seed):
    rng = np.random.default_rng([seed, 5])
    model, polygon = families.mixture(rng)
    model = families.perturb(model, rng, 10.0 ** -rng.integers(8, 17), rng.choice([0, 0.2, 1]))
    certificate = verify(on(model, polygon), model, strict=True)
    assert certificate.passed, str(certificate)


def test_benchmark_network_is_proved_without_integers():
    model = mlp(2, 64, 64, 64, 1)
    p = compute_partition(model, SQUARE)
    certificate = verify(p, model, strict=True)
    assert certificate.passed, str(certificate)
    assert p.n_regions == 6668
    # Two hinges define each vertex inside, one each vertex on a side, none the corners.
    n_outer = np.count_nonzero(p.edge_hinges < 0)
    assert certificate.n_exact == 2 * (p.n_vertices - n_outer) + n_outer - 4
    assert certificate.checks[-1].detail.endswith(" 0 in integers")


def images() -> nn.Module:
    torch.manual_seed(1)
    norm = nn.BatchNorm2d(1)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.7]))
        norm.bias.copy_(torch.tensor([-0.2]))
    first = [norm, nn.Linear(6, 5), nn.Hardtanh(-0.5, 0.4), nn.Flatten(), nn.Linear(25, 8)]
    return nn.Sequential(*first, nn.BatchNorm1d(8), nn.LeakyReLU(0.1), nn.Linear(8, 3), nn.ReLU())


def test_slices_of_images_are_proved():
    model = images()
    points = 3 * np.random.default_rng(2).normal(size=(3, 1, 5, 6))
    p = compute_partition(model, Slice.through(points))
    certificate = verify(p, model, strict=True)
    assert certificate.passed, str(certificate)
    assert p.n_regions > 100


def test_network_without_units_is_proved():
    model = nn.Linear(2, 3)
    certificate = verify(compute_partition(model, SQUARE), model, strict=True)
    assert certificate.passed, str(certificate)
    assert certificate.n_interval == certificate.n_exact == 0


@pytest.mark.parametrize("gain", [1.0, 1e9])
def test_errors_of_terms_that_cancel_are_no_failures(gain):
    """Far from the origin pre-activations of 1e-6 are sums of terms of 1e5, rounded as these."""
    origin = np.full(2, 1e5)
    model = mlp(2, 32, 16, 1).double()
    generator = torch.Generator().manual_seed(0)
    shifts = 1e-6 * torch.rand(32, generator=generator, dtype=torch.float64) - 5e-7
    with torch.no_grad():
        model[0].bias.copy_(shifts - model[0].weight @ torch.from_numpy(origin))
        model[2].weight.mul_(gain)
    corners = 5e-7 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    p = compute_partition(model, Slice(origin, np.eye(2), corners))
    certificate = verify(p, model, strict=True)
    assert certificate.passed, certificate


def test_certificate_without_proof_counts_no_signs():
    model = mlp(2, 4, 1)
    certificate = verify(compute_partition(model, SQUARE), model)
    assert certificate.passed
    assert certificate.n_interval == certificate.n_exact == 0
    assert "signs" not in {check.name for check in certificate.checks}


def test_certificate_is_a_table():
    model = mlp(2, 4, 1)
    lines = str(verify(compute_partition(model, SQUARE), model)).splitlines()
    assert lines[0] == "Certificate: passed"
    assert lines[1].split()[:2] == ["subdivision", "passed"]
    assert len({line.index("passed") for line in lines[1:]}) == 1


def test_model_is_left_alone():
    calls = []
    model = nn.Sequential(mlp(2, 4, 3), nn.BatchNorm1d(3), nn.Dropout(), nn.ReLU()).train()
    model.register_forward_hook(lambda *_: calls.append(1))
    before, random_state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    assert verify(compute_partition(model, SQUARE), model, strict=True).passed
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert model.training
    assert next(model.parameters()).dtype == torch.float32
    assert torch.equal(random_state, torch.get_rng_state())
    assert calls == []


# --- Wrong partitions ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return mlp(2, 8, 6, 2, seed=3)


@pytest.fixture(scope="module")
def right(model) -> Partition:
    p = compute_partition(model, SQUARE)
    assert verify(p, model, strict=True).passed
    return p


def named(certificate: Certificate, check: str) -> set[tuple[int | None, str | None, int | None]]:
    return {(f.region, f.layer, f.unit) for f in certificate.failures if f.check == check}


def label(p: Partition, edge: int) -> tuple[int, str, int]:
    """What has to be named when an edge is wrong."""
    name = p.layer_names[p.edge_layers[edge]]
    return int(p.edge_regions[edge, 0]), name, int(p.edge_units[edge])


def changed(array: np.ndarray, place: object, value: object) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


def test_moved_vertex_is_named(model, right):
    inner = np.setdiff1d(np.arange(right.n_vertices), right.edges[right.edge_hinges < 0])
    vertex = inner[len(inner) // 2]
    moved = right.vertices[vertex] + [1e-6, 2e-6]
    wrong = replace(right, vertices=changed(right.vertices, vertex, moved))
    certificate = verify(wrong, model)
    around = np.flatnonzero((right.edges == vertex).any(axis=1))
    assert named(certificate, "zero lines") == {label(right, edge) for edge in around}
    regions = set(right.edge_regions[around].ravel().tolist())
    assert {f.region for f in certificate.failures} <= regions


def test_swapped_label_is_named(model, right):
    edge = np.flatnonzero(right.edge_layers == 1)[3]
    other = right.edge_hinges[edge] + (1 if right.edge_units[edge] < 5 else -1)
    wrong = replace(right, edge_hinges=changed(right.edge_hinges, edge, other))
    certificate = verify(wrong, model)
    assert named(certificate, "zero lines") == {label(wrong, edge)}
    assert {"flips", "zero lines"} <= failed(certificate)


@pytest.mark.parametrize("bit", [0, 9])
def test_flipped_root_bit_is_named(model, right, bit):
    flipped = changed(right.root_pattern, bit, 1 - right.root_pattern[bit])
    certificate = verify(replace(right, root_pattern=flipped), model)
    assert not certificate.passed
    unit = (right.layer_names[0], bit) if bit < 8 else (right.layer_names[1], bit - 8)
    found = named(certificate, "patterns") | named(certificate, "flips")
    assert {(layer, number) for _, layer, number in found} == {unit}
    assert {region for region, *_ in found} == set(range(min(right.n_regions, 100)))


def test_partition_of_another_model_fails(right):
    certificate = verify(right, mlp(2, 8, 6, 2, seed=4), strict=True)
    assert {"zero lines", "patterns", "affine maps"} <= failed(certificate)
    assert "conversion" not in failed(certificate)


def test_partition_of_another_architecture_fails(right):
    certificate = verify(right, mlp(2, 8, 7, 2), strict=True)
    assert failed(certificate) == {"layers"}
    assert "('3', 7)" in certificate.failures[0].message


def test_model_of_other_inputs_is_refused(right):
    with pytest.raises(InvalidModelError):
        verify(right, mlp(3, 8, 6, 2))


def test_changed_weight_of_the_output_fails(model, right):
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[4].bias[1] += 1e-6
    assert failed(verify(right, other, strict=True)) == {"affine maps"}


def test_wrong_side_of_an_edge_fails(model, right):
    """An edge that runs the other way, with everything else as it should be."""
    edge = np.flatnonzero(right.edge_hinges >= 0)[5]
    loops = right.region_halfedges.copy()
    loops[right.region_halfedges >> 1 == edge] ^= 1
    wrong = replace(
        right,
        edges=changed(right.edges, edge, right.edges[edge, ::-1]),
        edge_regions=changed(right.edge_regions, edge, right.edge_regions[edge, ::-1]),
        region_halfedges=loops,
    )
    wrong.check_invariants()
    certificate = verify(wrong, model)
    assert label(wrong, edge) in named(certificate, "flips") | named(certificate, "pieces")


def without_edge(p: Partition, edge: int) -> Partition:
    """Merge the two regions on the sides of an edge; neither end may lose its corner."""
    keep, gone = sorted(p.edge_regions[edge].tolist())
    loops = [h.tolist() for h in np.split(p.region_halfedges, p.region_offsets[1:-1])]
    turned = []
    for region in (keep, gone):
        start = next(i for i, h in enumerate(loops[region]) if h >> 1 == edge)
        turned += loops[region][start + 1 :] + loops[region][:start]
    loops[keep] = turned
    del loops[gone]
    regions = np.delete(p.edge_regions, edge, axis=0)
    regions[regions == gone] = keep
    regions[regions > gone] -= 1
    halfedges = np.concatenate(loops)
    return replace(
        p,
        edges=np.delete(p.edges, edge, axis=0),
        edge_regions=regions,
        edge_hinges=np.delete(p.edge_hinges, edge),
        region_offsets=np.cumsum([0, *map(len, loops)]).astype(np.int32),
        region_halfedges=(halfedges - 2 * (halfedges >> 1 > edge)).astype(np.int32),
    )


def test_merged_regions_fail(model, right):
    degrees = np.bincount(right.edges.ravel())
    crossing = (degrees[right.edges] == 4).all(axis=1) & (right.edge_hinges > 0)
    edge = np.flatnonzero(crossing)[2]
    wrong = without_edge(right, edge)
    wrong.check_invariants()
    certificate = verify(wrong, model)
    _, layer, unit = label(right, edge)
    assert any((f.layer, f.unit) == (layer, unit) for f in certificate.failures)
    kept, neighbours = min(right.edge_regions[edge]), set()
    for left, other in wrong.edge_regions:
        if kept in (left, other):
            neighbours |= {left, other}
    assert {f.region for f in certificate.failures if f.check == "flips"} <= neighbours


def test_missing_region_fails(model, right):
    offsets = right.region_offsets[:-1]
    halfedges = right.region_halfedges[: offsets[-1]]
    wrong = replace(right, region_offsets=offsets, region_halfedges=halfedges)
    certificate = verify(wrong, model, strict=True)
    assert failed(certificate) == {"subdivision"}
    assert len(certificate.checks) == 1


def test_finished_part_of_a_partition_is_not_the_model(model):
    p = compute_partition(model[:2], SQUARE)
    assert failed(verify(p, model)) == {"layers"}


def test_flips_that_cancel_fail():
    """A line where a unit goes up for one flip and down for another: no boundary at all."""
    model = nn.Sequential(nn.Linear(2, 1).double(), nn.Hardtanh(-1, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[4.0, 0.0]]))
        model[0].bias.zero_()
    p = compute_partition(model, SQUARE)
    edge = int(np.flatnonzero(p.edge_hinges == 1)[0])
    wrong = replace(p, shared_edges=np.array([edge]), shared_hinges=np.array([2 * 0 + 1]))
    certificate = verify(wrong, model)
    assert label(p, edge) in named(certificate, "flips")


# --- What only a proof can see ---------------------------------------------------------------


def nearly_concurrent(gap: float) -> nn.Sequential:
    """Three lines around a triangle of the given size; the other way round if negative."""
    return units([(1, 0), (0, 1), (1, 0.75)], [0, 0, -gap])


@pytest.mark.parametrize("gap", [1e-12, 1e-17, -1e-12, -1e-17])
def test_tiny_triangle_is_proved(gap):
    model = nearly_concurrent(gap)
    p = compute_partition(model, SQUARE)
    assert p.n_regions == 7
    assert verify(p, model, strict=True).passed


@pytest.mark.parametrize("gap", [1e-12, 1e-17, -1e-12, -1e-17])
@pytest.mark.parametrize("other", [-1e-13, 0, 1e-13])
def test_triangle_that_is_not_there_is_seen(gap, other):
    p, model = compute_partition(nearly_concurrent(gap), SQUARE), nearly_concurrent(other)
    assert verify(p, model).passed
    certificate = verify(p, model, strict=True)
    if gap * other > 0:  # the same but for its size, which is below what floats tell
        assert certificate.passed
    else:
        assert failed(certificate) == {"tiling"}
        small = [r for r in range(p.n_regions) if p.areas[r] < 1e-20]
        around = p.edge_regions[(p.edge_regions == small).any(axis=1)]
        assert {f.region for f in certificate.failures} <= set(around.ravel().tolist())


@pytest.mark.parametrize("gap", [1e-13, -1e-17])
def test_missed_triangle_is_seen(gap):
    p, model = compute_partition(nearly_concurrent(0), SQUARE), nearly_concurrent(gap)
    assert p.n_regions == 6
    assert verify(p, model).passed
    certificate = verify(p, model, strict=True)
    assert failed(certificate) == {"signs"}
    assert {(f.layer, f.unit) for f in certificate.failures} <= {("1", i) for i in range(3)}


def test_flat_unit_does_not_exceed_its_breakpoint():
    model = units([(1, 0), (0, 0)], [0, 0])
    p = compute_partition(model, SQUARE)
    assert verify(p, model, strict=True).passed
    exceeding = replace(p, root_pattern=p.root_pattern + np.array([0, 1], np.uint8))
    assert verify(exceeding, model).passed  # a zero is no sign in float64
    certificate = verify(exceeding, model, strict=True)
    assert named(certificate, "signs") == {(0, "1", 1), (1, "1", 1)}


def test_vertex_next_to_a_corner_is_told_from_it():
    """Of three vertices with the same floats, one is the corner and two are 1e-18 beside it."""
    model = units([(1, 2.0**-60), (1, -1)], [1, 0])
    p = compute_partition(model, SQUARE)
    assert (p.vertices == [-1, -1]).all(axis=1).sum() == 3
    certificate = verify(p, model, strict=True)
    assert certificate.passed, str(certificate)


# --- Bounds ----------------------------------------------------------------------------------


def holds(ball: Ball, exact: np.ndarray) -> bool:
    """Whether exact fractions are in a ball."""
    parts = zip(ball.mid.ravel().tolist(), ball.rad.ravel().tolist(), exact.ravel(), strict=True)
    return all(abs(Fraction(mid) - x) <= Fraction(rad) for mid, rad, x in parts)


def fractions(values: np.ndarray) -> np.ndarray:
    return np.vectorize(Fraction, otypes=[object])(values)


OPERATIONS: dict[str, Callable] = {
    "sum": lambda a, b: a + b,
    "difference": lambda a, b: a - b,
    "product": lambda a, b: a * b,
    "polynomial": lambda a, b: a * b - b * b + a,
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("exponent", [0, 60, -150, -290, -307])
def test_balls_hold_exact_results(operation, exponent):
    rng = np.random.default_rng(exponent + 400)
    mids, rads = rng.normal(size=(2, 2, 200)) * 10.0**exponent
    rads = np.abs(rads) * 10.0 ** rng.uniform(-18, 0, size=(2, 200))
    shifts = fractions(rng.choice([-1, 0, 1], size=(2, 200)) * rads)
    balls = [Ball(mid, rad) for mid, rad in zip(mids, rads, strict=True)]
    numbers = [fractions(mid) + shift for mid, shift in zip(mids, shifts, strict=True)]
    assert holds(operation(*balls), operation(*numbers))


def test_sizes_of_balls_are_bounds():
    ball = Ball(np.array([1.0, -3.0, 0.5]), np.array([0.25, 1.0, 0.5]))
    assert (ball.largest >= [1.25, 4, 1]).all()
    assert (ball.smallest <= [0.75, 2, 0]).all()
    np.testing.assert_allclose(ball.smallest, [0.75, 2, 0], rtol=1e-12)


def test_signs_need_the_whole_ball():
    mids = np.array([2.0, -2.0, 1.0, -1.0, 0.0, np.inf, np.nan, 1.0])
    rads = np.array([1.0, 1.0, 1.0, 2.0, 0.0, 0.0, 0.0, np.nan])
    assert Ball(mids, rads).signs.tolist() == [1, -1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("name", ["generic_mixed", "wide_range", "saturated", "low_bit", "huge"])
def test_network_in_balls_holds_the_exact_one(name):
    model, polygon = families.example(name, seed=1)
    slice_ = Slice(np.zeros(2), np.eye(2), polygon)
    program = convert(model, (2,))
    enclosed, exact = EnclosedNetwork(program, slice_), ExactNetwork(program, slice_)
    p = compute_partition(model, slice_)
    patterns = p.patterns()
    points = np.array([p.vertices[loop].mean(axis=0) for loop in loops(p)])
    spread = np.random.default_rng(0).uniform(0, 1e-9, size=points.shape) * np.ptp(polygon)
    values = enclosed.preactivations(Ball(points + spread, spread))
    rows = enclosed.rows(patterns)
    for layer, (z, columns) in enumerate(zip(values, rows, strict=True)):
        scale = 2 ** exact.power(layer)
        for region in range(0, p.n_regions, 5):
            expected = fractions(np.array(exact.rows(layer, patterns[region]), object)) / scale
            assert holds(columns[region], expected.T)
            u, v = fractions(points[region])
            assert holds(z[region], expected @ np.array([u, v, 1]))


def test_overflow_leaves_no_bound():
    model = units([(1e200, 0), (0, 1)], [0, 0])
    deep = nn.Sequential(*model[:2], nn.Linear(2, 2).double(), nn.ReLU())
    with torch.no_grad():
        deep[2].weight.copy_(torch.tensor([[1e150, 0], [0, 1]], dtype=torch.float64))
        deep[2].bias.copy_(torch.tensor([-1.0, -0.25]))
    enclosed = EnclosedNetwork(convert(deep, (2,)), SQUARE)
    with np.errstate(over="ignore", invalid="ignore"):
        layers = list(enclosed.preactivations(Ball.of(np.array([[0.5, 0.5], [-0.5, 0.5]]))))
    assert layers[0].signs.tolist() == [[1, 1], [-1, 1]]
    assert layers[1].signs[0].tolist() == [0, 1]
    assert layers[1].signs[1].tolist() == [-1, 1]
