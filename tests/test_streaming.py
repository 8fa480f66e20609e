"""Partitions handed out tile by tile."""

import numpy as np
import pytest
import shapely
import torch
from torch import nn

import splinecam as sc
from splinecam import InvalidArgumentError, InvalidFileError
from splinecam.tiling import jobs as tiling

SQUARE = sc.Slice.box((-1, 1), (-1, 1))
SQUARE_AREA = shapely.box(-1, -1, 1, 1)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiling, "FEW_UNITS", 45)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
    )


@pytest.fixture(scope="module")
def whole(model):
    return sc.compute_partition(model, SQUARE)


def test_tiles_add_up(model, whole):
    stream = sc.PartitionStream(model, SQUARE)
    assert stream.n_tiles > 4
    areas = []
    for tile in stream:
        tile.check_invariants()
        areas.append(tile.areas.sum())
        middles = tile.centroids
        same = whole.patterns(whole.locate(middles)) == tile.patterns()
        assert same.all()
    assert len(areas) == stream.n_tiles == stream.totals.n_tiles
    np.testing.assert_allclose(sum(areas), SQUARE.area)
    assert_totals(stream.totals, whole)
    assert stream.count_regions() == whole.n_regions < stream.totals.n_pieces


def assert_totals(totals, whole):
    """Assert that totals are those of a partition."""
    ends = whole.vertices[whole.edges]
    lengths = np.hypot(*(ends[:, 1] - ends[:, 0]).T)
    n_layers = len(whole.layer_names)
    assert totals.n_regions == whole.n_regions
    np.testing.assert_allclose(totals.area, whole.slice.area)
    powers = [(whole.areas**n).sum() for n in range(1, 5)]
    np.testing.assert_allclose(totals.area_powers, powers)
    expected = [lengths[whole.edge_layers == layer].sum() for layer in range(n_layers)]
    np.testing.assert_allclose(totals.edge_lengths, expected)
    np.testing.assert_allclose(totals.class_areas, sc.decision_boundary(whole).class_areas)


def test_totals_of_some_tiles_tell_of_regions_that_are_whole(model, whole):
    stream = sc.PartitionStream(model, SQUARE)
    seen = []
    for tile in stream:
        seen.append(shapely.Polygon(tile.slice.polygon))
        missing = SQUARE_AREA.difference(shapely.union_all(seen))
        done = shapely.area(shapely.intersection(whole.polygons, missing)) < 1e-12
        totals = stream.totals
        assert totals.n_regions == np.count_nonzero(done)
        np.testing.assert_allclose(totals.area_powers[1], (whole.areas[done] ** 2).sum())
        np.testing.assert_allclose(totals.class_areas.sum(), totals.area)


def test_goes_on_where_it_was_interrupted(model, whole, tmp_path):
    stream = sc.PartitionStream(model, SQUARE, folder=tmp_path)
    tiles = iter(stream)
    seen = [next(tiles).areas.sum() for _ in range(3)]
    tiles.close()
    with pytest.raises(InvalidArgumentError, match=r"3 of \d+ tiles are finished"):
        stream.count_regions()
    resumed = sc.PartitionStream(model, SQUARE, folder=tmp_path)
    assert resumed.totals.n_tiles == 3
    seen += [tile.areas.sum() for tile in resumed]
    assert len(seen) == resumed.n_tiles
    np.testing.assert_allclose(sum(seen), SQUARE.area)
    assert resumed.count_regions() == whole.n_regions
    assert list(sc.PartitionStream(model, SQUARE, folder=tmp_path)) == []


def test_refuses_the_folder_of_another_job(model, tmp_path):
    sc.PartitionStream(model, SQUARE, folder=tmp_path)
    other = sc.Slice.box((-1, 1), (-1, 2))
    with pytest.raises(InvalidFileError, match="belongs to another model or slice"):
        sc.PartitionStream(model, other, folder=tmp_path)


def test_refuses_damaged_files(model, tmp_path):
    next(iter(sc.PartitionStream(model, SQUARE, folder=tmp_path)))
    (path,) = tmp_path.glob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidFileError, match="is damaged"):
        sc.PartitionStream(model, SQUARE, folder=tmp_path)


def test_refuses_what_is_no_slice(model):
    with pytest.raises(InvalidArgumentError, match="slice_ is a str"):
        sc.PartitionStream(model, "square")
