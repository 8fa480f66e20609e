"""The compiled kernels and the mesh that they refine, one by one and without compilation."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit

from comparison import loops, on
from families import DIAMOND, HEXAGON, build, example, gaussian
from splinecam import InvariantError
from splinecam._kernels.arrays import Bounds
from splinecam._kernels.edges import sort_by_key
from splinecam._kernels.loops import count_unsound
from splinecam._kernels.words import (
    pack_set,
    pack_signs,
    popcount,
    sign_limits,
    trailing_zeros,
    unpack_set,
)
from splinecam.common.workers import Workers
from splinecam.cutting import mesh, small, subdivision
from splinecam.cutting.mesh import Mesh, check_mesh, polygon_mesh

TESTS = Path(__file__).parent

ROUNDING = 1e-14


@pytest.fixture(scope="module")
def workers():
    with Workers() as workers:
        yield workers


# --- words ----------------------------------------------------------------------------------


@njit
def count_bits(word):
    return popcount(word), trailing_zeros(word)  # pyright: ignore[reportCallIssue]


@given(st.integers(1, 2**64 - 1))
@settings(deadline=None)
def test_bits_are_counted(word):
    assert count_bits(np.uint64(word)) == (word.bit_count(), (word & -word).bit_length() - 1)


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 127, 128, 129, 200])
def test_sets_are_packed_bit_by_bit(n):
    members = np.random.default_rng(n).random(n) < 0.5
    words = pack_set(members)
    assert words.shape == (-(-n // 64),)
    number = sum(int(word) << (64 * i) for i, word in enumerate(words))
    assert [number >> h & 1 for h in range(n)] == members.tolist()
    assert number >> n == 0
    np.testing.assert_array_equal(unpack_set(words, n), members)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 128, 130])
def test_signs_are_packed_in_the_rows_of_a_range(n):
    values = np.random.default_rng(n).normal(size=(7, n))
    values[::2, 0], values[1, -1], values[3, -1] = 0.0, -0.0, np.nan
    signs = np.full((7, -(-n // 64)), 77, np.uint64)
    radii, bounds = np.linspace(0, 0.3, 7), Bounds(np.full(n, 0.5), np.full(n, 0.1))
    members = np.arange(n) % 3 > 0
    limits = sign_limits(bounds, pack_set(members), 0.1)
    np.testing.assert_allclose(limits, np.where(members, 0.15, -1))
    counts = np.full(7, 77, np.int32)
    pack_signs(2, 6, values, radii, bounds, limits, 0.1, signs, counts)
    assert (signs[[0, 1, 6]] == 77).all()
    assert (counts[[0, 1, 6]] == 77).all()
    for row in range(2, 6):
        np.testing.assert_array_equal(signs[row], pack_set(values[row] > 0))
        is_sure = np.abs(values[row]) > 0.5 * radii[row] + 0.1
        assert counts[row] == np.count_nonzero(members & ~is_sure)


# --- sorting and summing --------------------------------------------------------------------


@given(
    arrays(np.float64, st.integers(0, 300), elements=st.floats(0, 1, width=16)),
    st.integers(0, 10),
    st.integers(0, 10),
)
@settings(deadline=None)
def test_keys_are_sorted_with_their_payload(keys, skipped, spared):
    start = min(skipped, len(keys))
    stop = max(start, len(keys) - spared)
    payload = np.arange(len(keys), dtype=np.int32)
    found = keys.copy()
    sort_by_key(found, payload, start, stop)
    np.testing.assert_array_equal(found[start:stop], np.sort(keys[start:stop]))
    np.testing.assert_array_equal(found, keys[payload])
    assert sorted(payload[start:stop]) == list(range(start, stop))
    assert payload[:start].tolist() == list(range(start))


# --- loops ----------------------------------------------------------------------------------


def n_unsound(mesh: Mesh, **changes) -> int:
    mesh = mesh._replace(**changes)
    loops = (mesh.vertices, mesh.radii, mesh.edges, mesh.face_offsets, mesh.face_halfedges)
    return count_unsound(0, len(mesh.face_offsets) - 1, *loops, ROUNDING)


def test_unsound_loops_are_counted():
    mesh = polygon_mesh(HEXAGON)
    assert n_unsound(mesh) == 0
    assert n_unsound(mesh, vertices=HEXAGON * [1, 0]) == 0  # flat, as rounding may leave it
    assert n_unsound(mesh, vertices=HEXAGON * [1, -1]) == 1  # clockwise
    assert n_unsound(mesh, vertices=HEXAGON * [1, -1e-12]) == 1
    assert n_unsound(mesh, vertices=HEXAGON * [1, -1e-12], radii=np.full(6, 4e-12)) == 0
    assert n_unsound(mesh, vertices=HEXAGON * [1, -1e-12], radii=np.full(6, 4e-14)) == 1
    assert n_unsound(mesh, vertices=HEXAGON * [1, -1], radii=np.full(6, 1e200)) == 1
    assert n_unsound(mesh, vertices=HEXAGON * np.nan) == 1
    assert n_unsound(mesh, face_halfedges=mesh.face_halfedges[[0, 1, 2, 4, 3, 5]]) == 1  # open


def test_unsound_meshes_are_refused(workers):
    mesh = polygon_mesh(HEXAGON)
    check_mesh(mesh, ROUNDING, workers)
    with pytest.raises(InvariantError, match="1 of 1 regions are not closed or turned over"):
        check_mesh(mesh._replace(vertices=HEXAGON * [1, -1]), ROUNDING, workers)
    with pytest.raises(InvariantError, match=r"V - E \+ R is 2; it is 1 for every subdivision"):
        check_mesh(mesh._replace(vertices=np.vstack([HEXAGON, [0, 0]])), ROUNDING, workers)


# --- carrying values ------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "prelu", "hardtanh", "abs"])
@pytest.mark.parametrize("width", [1, 7, 70])
def test_values_are_carried_to_all_vertices(width, activation, monkeypatch):
    """What the engine knows of a layer, at old and new vertices, is what the network says."""
    seen = []

    def carry(old, refinement, values, kinks, carried, workers):
        mesh.carry(old, refinement, values, kinks, carried, workers)
        seen.append((len(old.vertices), refinement.mesh.vertices, carried))

    monkeypatch.setattr(subdivision, "SMALL_VALUES", 0)
    monkeypatch.setattr(small, "SMALL_LAYER", 0)
    monkeypatch.setattr(subdivision, "carry", carry)
    families, activations = [gaussian] * 4, ["relu", activation, activation, "relu"]
    model = build(np.random.default_rng(width), DIAMOND, families, [6, width, 9, 3], activations)
    network = on(model, DIAMOND).network
    assert len(seen) == 3
    for number, (n_old, vertices, carried) in enumerate(seen, start=1):
        assert len(vertices) > n_old
        layer = network.layers[number]
        z = network.head(number)(vertices)
        expected = (z[:, :, None] - layer.breakpoints).reshape(len(z), -1)
        np.testing.assert_allclose(carried, expected, rtol=0, atol=1e-12 * np.abs(z).max())


# --- workers --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_items", [0, 1, 5, 31, 1000])
@pytest.mark.parametrize("grain", [1, 7, 10**6])
def test_ranges_cover_all_items_in_order(workers, n_items, grain):
    ranges = workers.run(lambda start, stop: (start, stop), n_items, grain=grain)
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(n_items))
    assert len(ranges) == 1 or n_items >= grain


@pytest.mark.parametrize("grain", [1, 7, 10**6])
def test_balanced_ranges_cover_all_items_in_order(workers, grain):
    work = np.random.default_rng(0).integers(0, 50, size=300) ** 3
    offsets = np.cumsum([0, *work])
    ranges = workers.run_balanced(lambda start, stop: (start, stop), offsets, grain=grain)
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(300))
    if len(ranges) > 1:
        shares = np.array([offsets[stop] - offsets[start] for start, stop in ranges])
        assert shares.max() <= offsets[-1] / len(ranges) + work.max()


def test_errors_of_a_range_come_back(workers):
    def fail(start, stop):
        raise ValueError(f"at {start}")

    with pytest.raises(ValueError, match=r"at \d+"):
        workers.run(fail, 1000, grain=1)


# --- without compilation --------------------------------------------------------------------

UNCOMPILED = """
import sys
from splinecam._kernels import edges, special, traversal, vanishing

for module in (edges, special, traversal, vanishing):  # intrinsics have no Python
    module.popcount = lambda word: int(word).bit_count()
    module.trailing_zeros = lambda word: (int(word) & -int(word)).bit_length() - 1

from comparison import ARRAYS, assert_exact, on
from families import FAMILIES, GENERIC, example
from splinecam.cutting.numbering import renumber
from splinecam.tiling.stitch import stitch
from tiles import cut, tiled
import numpy as np
import splinecam as sc

def measure(p):
    maps = sc.region_maps(p)
    sc.region_statistics(p), sc.region_margins(maps), maps.singular_values, maps.slope_changes
    sc.unit_statistics(p), sc.bend_angles(p), sc.decision_boundary(p)

model, polygon = example("generic_mixed", 1)
p = on(model, polygon)
assert_exact(p, model)
measure(p)
np.savez(sys.argv[1], **{name: getattr(p, name) for name in ARRAYS})
for name in FAMILIES:
    if name not in GENERIC:
        for seed in range(2):  # numpy raises IndexError where compiled code would not look
            measure(on(*example(name, seed)))
for name in ("integer", "tent"):
    model, polygon = example(name, 0)
    tiles = tiled(model, cut(polygon, np.random.default_rng(0)))
    renumber(*stitch(tiles, on(model, polygon).network.units))
"""


def test_kernels_are_python(tmp_path):
    """Without compilation kernels give the same partition, and read no array beyond its end."""
    path = [str(TESTS), str(TESTS.parent)]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, "-W", "error", "-c", UNCOMPILED, str(tmp_path / "arrays.npz")]
    subprocess.run(command, env=environment, check=True, timeout=120)
    p = on(*example("generic_mixed", 1))
    with np.load(tmp_path / "arrays.npz") as found:
        for name in found:
            expected = getattr(p, name)
            if name == "vertices":  # fused products round differently
                np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-12)
            else:
                np.testing.assert_array_equal(found[name], expected)
    assert len(loops(p)) == p.n_regions
