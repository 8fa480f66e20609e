"""Reduced and narrowed networks, and the functions of their regions, by themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from comparison import ARRAYS
from splinecam import Partition, Slice, compute_partition, engine
from splinecam.convert import convert
from splinecam.cutting.estimate import Estimator
from splinecam.cutting.labels import Labels
from splinecam.cutting.patches import Patch
from splinecam.cutting.region_lines import RegionLines, meet
from splinecam.exact import ExactNetwork
from splinecam.network import narrowing
from splinecam.network.narrowing import narrow
from splinecam.network.reduced import ReducedNetwork
from splinecam.network.reduction import Ground
from splinecam.network.root import Root, reduce_program
from splinecam.tiling import jobs
from splinecam.tiling.jobs import Job, find_leaves
from splinecam.tiling.tiles import Cell

SQUARE = Slice.box((-1, 1), (-1, 1))
CELL = np.array([(0.1, -0.2), (0.35, -0.15), (0.3, 0.1), (0.12, 0.05)])


class Branches(nn.Module):
    """A sum of two branches, several breakpoints, and a maximum."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 24), nn.Linear(24, 24)
        self.head = nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.hardtanh(3 * self.first(x))
        z = nn.functional.leaky_relu(self.second(y) + y)
        return self.head(z.reshape(-1, 12, 2).amax(2))


def mlp(*widths: int, scale: float = 1.0) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, k in enumerate(widths[:-1]):
        layers += [nn.Linear(k, widths[i + 1]), nn.ReLU()]
        with torch.no_grad():
            layers[-2].weight.mul_(scale)
    return nn.Sequential(*layers[:-1])


def reduced(model: nn.Module, slice_: Slice = SQUARE) -> Root:
    return reduce_program(convert(model, slice_.input_shape), slice_, torch.device("cpu"))


def inside(corners: np.ndarray, count: int = 200) -> np.ndarray:
    weights = np.random.default_rng(0).dirichlet(np.ones(len(corners)), count)
    return np.concatenate([weights @ corners, corners])


@pytest.fixture(params=["branches", "chain", "coarse"])
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Root:
    torch.manual_seed(1)
    if request.param == "coarse":
        monkeypatch.setattr(narrowing, "MANY_UNITS", 4)
    return reduced(Branches() if request.param == "branches" else mlp(2, 20, 20, 20, 3, scale=2.0))


def test_reduced_network_is_the_model() -> None:
    torch.manual_seed(2)
    model = Branches()
    uv = inside(SQUARE.polygon)
    expected = model.double()(torch.from_numpy(SQUARE.embed(uv))).detach().numpy()
    np.testing.assert_allclose(reduced(model).network(uv), expected, atol=1e-13)


def test_narrowed_network_is_the_whole_one_on_its_cell(root: Root) -> None:
    network, _ = narrow(root.network, CELL)
    network.check_shapes()
    assert 0 < network.n_activations < root.network.n_activations
    np.testing.assert_allclose(network(inside(CELL)), root.network(inside(CELL)), atol=1e-13)


def test_narrowing_step_by_step_and_at_once_agree(root: Root) -> None:
    half = Cell.whole(SQUARE.polygon).split()[3].patch.corners
    twice, _ = narrow(narrow(root.network, half)[0], CELL)
    np.testing.assert_allclose(twice(inside(CELL)), root.network(inside(CELL)), atol=1e-12)


def test_units_that_are_dropped_are_steady(root: Root) -> None:
    network, _ = narrow(root.network, CELL)
    kept = {(layer.step, unit) for layer in network.layers for unit in layer.units.tolist()}
    n_dropped = 0
    for layer, hinges in zip(
        root.network.layers, root.network.hinge_values(inside(CELL)), strict=True
    ):
        if layer.round is not None:
            continue
        exceeded = (hinges > 0).reshape(len(hinges), layer.n_units, -1).sum(axis=2)
        first = network.units.first_units[layer.step]
        for i, unit in enumerate(layer.units.tolist()):
            if (layer.step, unit) not in kept:
                n_dropped += 1
                assert (exceeded[:, i] == network.rest[first + unit]).all()
    assert n_dropped > 5


def test_bounds_hold_sampled_activations(root: Root) -> None:
    network, ground = narrow(root.network, CELL)
    uv = inside(CELL)
    start = 0
    for layer, hinges in zip(network.layers, network.hinge_values(uv), strict=True):
        stop = start + layer.n_units
        largest = np.abs(layer.activate(hinges)).max(axis=0)
        assert (largest <= ground.largest[start:stop]).all()
        start = stop
    assert start == len(ground.largest) == len(ground.halves)


def test_ranges_hold_all_values_of_a_form() -> None:
    rng = np.random.default_rng(3)
    halves = rng.random(4)
    ground = Ground(CELL, np.ones(4), halves)
    forms = rng.normal(size=(30, 7))
    residues = rng.uniform(-halves, halves, (500, 4))
    residues[:16] = halves * (1 - 2 * (np.arange(16)[:, None] >> np.arange(4) & 1))
    points = inside(CELL, 496)
    values = np.column_stack([points, np.ones(500), residues]) @ forms.T
    lowest, highest = ground.ranges(forms, np.zeros(30))
    assert (lowest <= values.min(axis=0)).all()
    assert (values.max(axis=0) <= highest).all()
    nearer = ground._replace(halves=np.zeros(4)).ranges(forms, np.zeros(30))
    np.testing.assert_allclose(nearer[1], (forms[:, :2] @ CELL.T).max(axis=1) + forms[:, 2])


def test_constant_network_has_no_unsteady_unit() -> None:
    model = mlp(2, 6, 6, 2)
    with torch.no_grad():
        model[0].weight.zero_()
    network, ground = reduced(model)
    assert network.n_activations == len(ground.largest) == 0
    narrowed, _ = narrow(network, CELL)
    assert narrowed.layers == ()
    np.testing.assert_array_equal(narrowed(CELL), network(CELL))


def test_tile_that_is_one_region_has_no_unsteady_unit(root: Root) -> None:
    # So small a cell is on no hinge's line.
    cell = CELL.mean(axis=0) + 1e-9 * (CELL - CELL.mean(axis=0))
    network, _ = narrow(root.network, cell)
    assert network.n_activations == 0
    np.testing.assert_allclose(network(cell), root.network(cell), atol=1e-13)


def test_leaves_are_fine_and_fill_the_slice() -> None:
    torch.manual_seed(4)
    job = Job(convert(mlp(2, 30, 30, 30, 1, scale=2.0), (2,)), SQUARE, "cpu")
    with ThreadPoolExecutor(2) as executor:
        leaves = find_leaves(job, job.root(), executor, 60)
    assert len(leaves) > 10
    areas = [_area(leaf.cell) for leaf in leaves]
    assert sum(areas) == 4
    assert all(3 * leaf.network.n_activations <= 60 for leaf in leaves)
    walked = list(jobs.walk_leaves(job, job.root(), 60))
    assert {leaf.cell.low for leaf in walked} == {leaf.cell.low for leaf in leaves}


def _area(cell: Cell) -> Fraction:
    points = [(Fraction(x, w), Fraction(y, w)) for x, y, w in cell.points]
    pairs = zip(points, [*points[1:], points[0]], strict=True)
    return sum((x * t - y * s for (x, y), (s, t) in pairs), Fraction()) / 2


# -- functions of regions ---------------------------------------------------------------------


def region_lines(network: ReducedNetwork, patch: Patch) -> RegionLines:
    last = len(network.layers) - 1
    return RegionLines(network, Labels(network), last, patch.corners, patch.sides)


def test_functions_of_regions_are_as_near_the_exact_ones_as_they_say() -> None:
    torch.manual_seed(5)
    program = convert(mlp(2, 12, 12, 12, 1, scale=2.0), (2,))
    network = reduce_program(program, SQUARE, torch.device("cpu")).network
    network, _ = narrow(network, CELL)
    lines, exact = region_lines(network, Patch.of_polygon(CELL)), ExactNetwork(program, SQUARE)
    points = inside(CELL, 30)
    patterns = np.tile(network.rest, (len(points), 1))
    for layer, hinges in zip(network.layers, network.hinge_values(points), strict=True):
        patterns[:, network.units.first_units[layer.step] + layer.units] = hinges > 0
    rows, errors = lines.functions(patterns)
    assert errors.max() < 1e-12
    for k, (u, v) in enumerate(points.tolist()):
        place = 0
        for layer in network.layers:
            power = exact.power(layer.step)
            for a, b, c in exact.rows(layer.step, patterns[k], layer.units.tolist()):
                true = Fraction(a * Fraction(u) + b * Fraction(v) + c) / 2**power
                own = [Fraction(x) for x in rows[k, place].tolist()]
                found = own[0] * Fraction(u) + own[1] * Fraction(v) + own[2]
                assert abs(found - true) <= errors[k, place]
                place += 1
        assert place == rows.shape[1]


def test_lines_meet_within_their_radii() -> None:
    rng = np.random.default_rng(6)
    points = rng.random((300, 2))
    angles = rng.random(300), 10.0 ** rng.uniform(-9, 0, 300)
    errors = 10.0 ** rng.uniform(-16, -8, (2, 300))
    rows = []
    for angle, error in zip((angles[0], angles[0] + angles[1]), errors, strict=True):
        normals = np.column_stack([np.cos(angle), np.sin(angle)])
        off = error * rng.choice([-0.5, 0.0, 0.5], 300)
        rows.append(np.column_stack([normals, off - (normals * points).sum(axis=1)]))
    found, radii = meet(points + 0.1, rows[0], errors[0], rows[1], errors[1])
    distances = np.hypot(*(found - points).T)
    assert (distances <= radii).all()
    usual = np.flatnonzero(angles[1] > 0.01)
    assert (radii[usual] < 1e3 * errors.max(axis=0)[usual] + 1e-12).all()


def test_parallel_lines_meet_nowhere() -> None:
    row, errors = np.array([[1.0, 2.0, 3.0]]), np.zeros(1)
    for other in (row, -3 * row, np.array([[1.0, 2.0, 4.0]]), np.zeros((1, 3))):
        found, radii = meet(np.zeros((1, 2)), row, errors, other, errors)
        assert np.isinf(radii).all()
        assert np.isfinite(found).all()


@pytest.mark.parametrize("seed", range(3))
def test_estimates_change_nothing(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """With bounds that leave much open, estimates decide like integers and like tight bounds."""
    torch.manual_seed(seed)
    model = mlp(2, 14, 14, 14, 1, scale=2.0)
    monkeypatch.setattr(engine, "is_chain", lambda program: False)
    expected = compute_partition(model, SQUARE)
    bounds = jobs.reduced_bounds
    monkeypatch.setattr(
        jobs,
        "reduced_bounds",
        lambda *args: [b._replace(noise=3e10 * b.noise) for b in bounds(*args)],
    )
    asked = []
    for name in ("decide_signs", "order_cuts"):
        _count(monkeypatch, name, asked)
    estimated = compute_partition(model, SQUARE)
    assert {"decide_signs", "order_cuts"} <= set(asked)
    assert_same_structure(estimated, expected)
    monkeypatch.setattr(Estimator, "decide_signs", lambda self, *args: None)
    monkeypatch.setattr(
        Estimator, "order_cuts", lambda self, edges, cuts: np.zeros(len(edges), bool)
    )
    monkeypatch.setattr(Estimator, "place_crossings", lambda self, face, special, bad: bad)
    assert_same_structure(compute_partition(model, SQUARE), expected)


def assert_same_structure(p: Partition, expected: Partition) -> None:
    for name in ARRAYS:
        if name != "vertices":
            np.testing.assert_array_equal(getattr(p, name), getattr(expected, name))
    np.testing.assert_allclose(p.vertices, expected.vertices, atol=1e-9)


def _count(monkeypatch: pytest.MonkeyPatch, name: str, asked: list[str]) -> None:
    method = getattr(Estimator, name)

    def counted(self: Estimator, *args: object) -> object:
        asked.append(name)
        return method(self, *args)

    monkeypatch.setattr(Estimator, name, counted)
