"""A slice cut tile by tile: the partition does not depend on the tiles."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from comparison import ARRAYS, assert_identical, assert_same_structure, on
from families import SQUARE, linear
from families_dag import FAMILIES, STYLES, example
from oracle import partition, read_sequential
from oracle_graph import partition_graph
from splinecam import (
    Partition,
    PartitionStream,
    RegionLimitError,
    Slice,
    compute_partition,
    engine,
    verify,
)
from splinecam.convert import convert
from splinecam.tiling import jobs as tiling
from splinecam.tiling import tiles
from splinecam.tiling.jobs import Job

INTEGERS = [name for name in ARRAYS if name != "vertices"]


@pytest.fixture
def tiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains are tiled too, and tiles have few units."""
    monkeypatch.setattr(engine, "is_chain", lambda program: False)
    monkeypatch.setattr(tiling, "FEW_UNITS", 30)


@pytest.fixture
def coarse(tiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 64 tiles."""
    monkeypatch.setattr(tiling, "FEW_UNITS", 16)
    monkeypatch.setattr(tiling, "SMALLEST", 0.25)


class Digits(nn.Module):
    """A small network of images with a branch and, if asked for, a max-pool."""

    def __init__(self, *, pool: bool):
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Conv2d(1, 3, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.body = nn.Conv2d(3, 3, 3, padding=1)
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(2))
        self.pool = nn.MaxPool2d(2) if pool else nn.AvgPool2d(2)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        first = self.relus[0](self.norm(self.stem(x)))
        second = self.relus[1](self.body(first) + first)
        return self.head(self.pool(second).flatten(1))


def trained(*, pool: bool) -> tuple[nn.Module, Slice]:
    """A network trained for a few steps to tell blurred bars from others; a slice through them."""
    model = Digits(pool=pool)
    generator = torch.Generator().manual_seed(5)
    labels = torch.randint(4, (64,), generator=generator)
    images = 0.3 * torch.rand(64, 1, 8, 8, generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, 2 * label : 2 * label + 2] += 0.7
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.eval(), Slice.through(images[:3].double().numpy(), pad=0.1)


def assert_same_integers(p: Partition, q: Partition) -> None:
    for name in INTEGERS:
        np.testing.assert_array_equal(getattr(p, name), getattr(q, name), err_msg=name)


@pytest.mark.parametrize("style", STYLES)
def test_tiles_of_graphs_change_nothing(style, tiled, monkeypatch):
    for family in FAMILIES:
        model, graph, polygon = example(family, style, 3)
        found = on(model, polygon)
        found.check_invariants()
        assert_same_structure(found, partition_graph(graph, polygon))
        with monkeypatch.context() as patch:
            patch.setattr(tiling, "FEW_UNITS", 10**9)
            assert_same_integers(found, on(model, polygon))


@pytest.mark.parametrize("style", [style for style in STYLES if style != "generic"])
def test_seams_on_lines_of_graphs_change_nothing(style, coarse, monkeypatch):
    """Cells are halved, and lines of small integers lie where they are."""
    monkeypatch.setattr(tiles, "SHARE", 0.5)
    for family in FAMILIES:
        model, graph, _ = example(family, style, 0)
        found = on(model, SQUARE)
        found.check_invariants()
        assert_same_structure(found, partition_graph(graph, SQUARE))


def seam_places(low: float, high: float, n_splits: int) -> list[float]:
    """Where cells are split along an axis."""
    if not n_splits:
        return []
    place = low + tiles.SHARE * (high - low)
    return [
        *seam_places(low, place, n_splits - 1),
        place,
        *seam_places(place, high, n_splits - 1),
    ]


def folded_on_seams(rng: np.random.Generator) -> nn.Sequential:
    """Units that vanish on seams of the square, and others that vanish where these do."""
    places = rng.choice(seam_places(-1, 1, 2), 8)
    signs = rng.choice([-1.0, 1.0], 8)
    directions = signs[:, None] * np.eye(2)[rng.integers(2, size=8)]
    directions[7], places[7] = rng.normal(size=2), 0.1
    parts = {
        0: (directions, -signs * places),
        2: (rng.integers(-1, 2, size=(6, 8)), np.zeros(6)),
        7: (rng.integers(-2, 3, size=(3, 4)), np.zeros(3)),
    }
    model = nn.Sequential(
        *(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 6), nn.LeakyReLU(0.25)),
        *(nn.Unflatten(1, (1, 6)), nn.MaxPool1d(3, stride=1), nn.Flatten()),
        *(nn.Linear(4, 3), nn.ReLU()),
    ).double()
    with torch.no_grad():
        for number, (weight, bias) in parts.items():
            model[number].weight.copy_(torch.from_numpy(weight))
            model[number].bias.copy_(torch.from_numpy(bias))
    return model


@pytest.mark.parametrize("seed", range(8))
def test_lines_on_seams_are_not_lost(seed, coarse, monkeypatch):
    model, square = folded_on_seams(np.random.default_rng(seed)), Slice.box((-1, 1), (-1, 1))
    found = compute_partition(model, square)
    certificate = verify(found, model, strict=True)
    assert certificate.passed, str(certificate)
    stream = PartitionStream(model, square)
    assert stream.n_tiles > 4
    for _ in stream:
        pass
    monkeypatch.setattr(tiling, "FEW_UNITS", 10**9)
    whole = compute_partition(model, square)
    assert_same_integers(found, whole)
    assert stream.count_regions() == whole.n_regions
    np.testing.assert_allclose(stream.totals.area_powers[1], (whole.areas**2).sum())
    ends = whole.vertices[whole.edges]
    lengths = np.hypot(*(ends[:, 1] - ends[:, 0]).T)
    expected = np.bincount(whole.edge_layers + 1, lengths, 1 + len(whole.layer_names))[1:]
    np.testing.assert_allclose(stream.totals.edge_lengths, expected)


def test_units_that_vanish_on_areas_do_not_split_cells_without_end(tiled):
    model, _, polygon = example("pooled image", "integer zero bias", 0)
    job = Job(convert(model, (2,)), on(model, polygon).slice, "cpu")
    with ThreadPoolExecutor(1) as executor:
        n_leaves = len(tiling.find_leaves(job, job.root(), executor, tiling.FEW_UNITS))
    assert 1 < n_leaves < 2000


def test_unit_of_the_first_layer_that_is_at_its_breakpoint_everywhere(tiled):
    first = linear(np.array([[1.0, 1], [0, 0]]), np.array([0.0, 1]), torch.float64)
    model = nn.Sequential(first, nn.Hardtanh())
    assert_same_structure(on(model, SQUARE), partition(read_sequential(model), SQUARE))


@pytest.mark.parametrize("pool", [False, True])
def test_patterns_are_those_of_the_program(pool, monkeypatch):
    monkeypatch.setattr(tiling, "FEW_UNITS", 90)
    model, slice_ = trained(pool=pool)
    p = compute_partition(model, slice_)
    p.check_invariants()
    points = slice_.embed(p.centroids)
    program = convert(model, slice_.input_shape)
    np.testing.assert_array_equal(p.patterns(), program.patterns(torch.from_numpy(points)))
    slopes, offsets = p.affine_maps()
    with torch.no_grad():
        outputs = model.double()(torch.from_numpy(points)).numpy()
    values = np.einsum("noi,ni->no", slopes, p.centroids) + offsets
    np.testing.assert_allclose(values, outputs, atol=1e-9)


@pytest.mark.parametrize("pool", [False, True])
def test_hooks_see_the_patterns(pool):
    model, slice_ = trained(pool=pool)
    p = compute_partition(model, slice_)
    seen: list[Tensor] = []
    for relu in model.relus:
        relu.register_forward_hook(lambda module, inputs, out: seen.append((out > 0).flatten(1)))
    with torch.no_grad():
        model.double()(torch.from_numpy(slice_.embed(p.centroids)))
    expected = torch.cat(seen, 1).numpy()
    np.testing.assert_array_equal(p.patterns()[:, : expected.shape[1]], expected)


def test_number_of_threads_changes_nothing(tiled):
    model, slice_ = trained(pool=True)
    expected = compute_partition(model, slice_)
    for n in (1, 3):
        with ThreadPoolExecutor(n) as executor:
            assert_identical(compute_partition(model, slice_, executor=executor), expected)


def test_too_many_regions(tiled):
    """The error carries the tiles that are finished, which are those of a stream."""
    model, slice_ = trained(pool=False)
    whole = compute_partition(model, slice_)
    with pytest.raises(RegionLimitError, match=r"tiles are finished.*max_regions is 99;") as caught:
        compute_partition(model, slice_, max_regions=99)
    error = caught.value
    assert error.partition.n_regions == 1
    assert 99 < error.n_regions <= whole.n_regions
    assert 0 < sum(tile.slice.area for tile in error.tiles) < slice_.area
    for tile in error.tiles:
        tile.check_invariants()
        same = whole.patterns(whole.locate(tile.centroids)) == tile.patterns()
        assert same.all()


def test_regions_on_several_tiles_count_once(tiled):
    model, slice_ = trained(pool=False)
    whole = compute_partition(model, slice_)
    n_regions = whole.n_regions
    assert_identical(compute_partition(model, slice_, max_regions=n_regions), whole)
    with pytest.raises(RegionLimitError, match=f"there are {n_regions:,} regions") as caught:
        compute_partition(model, slice_, max_regions=n_regions - 1)
    assert_identical(caught.value.partition, whole)
    assert caught.value.n_regions == n_regions


def test_little_memory_makes_small_tiles():
    counts = [tiling.few_units(n_bytes) for n_bytes in (-1, 2**10, 2**26, 2**28, 2**50)]
    assert counts == sorted(counts)
    assert counts[0] == counts[1] == tiling.FEWEST_UNITS < counts[2] < counts[3]
    assert counts[-1] == tiling.FEW_UNITS


PEAK = """
import re, pathlib, psutil, splinecam as sc
from comparison import default_mlp
from splinecam import engine

square = sc.Slice.box((-1, 1), (-1, 1))
is_chain = engine.is_chain
for engine.is_chain in (lambda program: False, is_chain):  # load what both ways take
    sc.compute_partition(default_mlp(2, 16, 16, 1), square)
memory = psutil.Process().memory_info().rss + 130 * 2**20
p = sc.compute_partition(default_mlp(2, 500, 500, 1), square, memory=MEMORY)
# Of this program alone: what getrusage says counts the process that started it, too.
status = pathlib.Path("/proc/self/status").read_text()
peak = 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", status)[1])
print(p.n_regions, peak <= memory)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_memory_is_the_peak():
    """What takes 190 MiB when cut in one piece is cut in 130 MiB, tile by tile."""
    found = [
        subprocess.run(
            [sys.executable, "-c", PEAK.replace("MEMORY", memory)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for memory in ("memory", "None", "memory")  # the first one may still compile
    ]
    assert found[1:] == [["162179", "False"], ["162179", "True"]]


def test_progress_counts_tiles(tiled, capfd):
    model, slice_ = trained(pool=False)
    compute_partition(model, slice_)
    assert capfd.readouterr().err == ""
    compute_partition(model, slice_, progress=True)
    shown = capfd.readouterr().err
    assert "cutting" in shown
    assert "tile" in shown
