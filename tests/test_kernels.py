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
from families import DIAMOND, HEXAGON, SQUARE, build, example, gaussian
from splinecam import InvariantError, Slice
from splinecam._kernels.edges import accumulate, sort_by_key
from splinecam._kernels.loops import count_unsound
from splinecam._kernels.words import pack_set, pack_signs, popcount, trailing_zeros, whole_set
from splinecam._workers import Workers
from splinecam.convert import convert
from splinecam.mesh import Mesh, carry, check_mesh, plan, polygon_mesh, refine
from splinecam.restrict import restrict
from strategies import polygons

TESTS = Path(__file__).parent


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
    assert words.shape == whole_set(n).shape == (-(-n // 64),)
    number = sum(int(word) << (64 * i) for i, word in enumerate(words))
    assert [number >> h & 1 for h in range(n)] == members.tolist()
    assert number >> n == 0
    np.testing.assert_array_equal(pack_set(np.ones(n, bool)) & whole_set(n), pack_set(members | 1))


@pytest.mark.parametrize("n", [1, 63, 64, 65, 128, 130])
def test_signs_are_packed_in_the_rows_of_a_range(n):
    values = np.random.default_rng(n).normal(size=(7, n))
    values[::2, 0], values[1, -1], values[3, -1] = 0.0, -0.0, np.nan
    signs = np.full((7, -(-n // 64)), 77, np.uint64)
    pack_signs(2, 6, values, signs)
    assert (signs[[0, 1, 6]] == 77).all()
    for row in range(2, 6):
        np.testing.assert_array_equal(signs[row], pack_set(values[row] > 0))


# --- sorting and summing --------------------------------------------------------------------


@given(
    arrays(np.float64, st.integers(0, 100), elements=st.floats(0, 1, width=16)),
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


def test_offsets_are_sums():
    offsets = np.array([0, 3, 0, 5])
    assert accumulate(offsets) == 8
    assert offsets.tolist() == [0, 3, 3, 8]


# --- loops ----------------------------------------------------------------------------------


def n_unsound(mesh: Mesh, **changes) -> int:
    mesh = mesh._replace(**changes)
    return count_unsound(
        0,
        len(mesh.face_offsets) - 1,
        *(mesh.vertices, mesh.edges, mesh.face_offsets, mesh.face_halfedges),
    )


def test_unsound_loops_are_counted():
    mesh = polygon_mesh(HEXAGON)
    assert n_unsound(mesh) == 0
    assert n_unsound(mesh, vertices=HEXAGON * [1, -1]) == 1  # clockwise
    assert n_unsound(mesh, vertices=HEXAGON * [1, 0]) == 1  # flat
    assert n_unsound(mesh, vertices=HEXAGON * np.nan) == 1
    assert n_unsound(mesh, face_halfedges=mesh.face_halfedges[[0, 1, 2, 4, 3, 5]]) == 1  # open


def test_unsound_meshes_are_refused(workers):
    mesh = polygon_mesh(HEXAGON)
    check_mesh(mesh, workers)
    with pytest.raises(InvariantError, match="1 of 1 regions have no positive area in float64"):
        check_mesh(mesh._replace(vertices=HEXAGON * [1, 0]), workers)
    with pytest.raises(InvariantError, match=r"V - E \+ R is 2; it is 1 for every subdivision"):
        check_mesh(mesh._replace(vertices=np.vstack([HEXAGON, [0, 0]])), workers)


# --- refining -------------------------------------------------------------------------------


def hinges(layer, points: np.ndarray) -> np.ndarray:
    weight, bias = layer.hinge_map
    return points @ weight.T + bias


@pytest.mark.parametrize("activation", ["relu", "prelu", "hardtanh", "abs"])
@pytest.mark.parametrize("width", [1, 7, 70])
def test_values_are_carried_to_new_vertices(width, activation, workers):
    """On a mesh of many faces, values at all new vertices are those of the network there."""
    rng = np.random.default_rng(width)
    families, activations = [gaussian] * 3, ["relu", activation, "relu"]
    model = build(rng, DIAMOND, families, [6, width, 9], activations)
    slice_ = Slice(np.zeros(2), np.eye(2), DIAMOND)
    network = restrict(convert(model, (2,)), slice_)
    first, second, third = network.layers
    mesh = polygon_mesh(DIAMOND)
    values = hinges(first, mesh.vertices)
    planned = plan(mesh, values, whole_set(6), workers)
    mesh = refine(mesh, planned, 6, 0, workers, with_chords=False).mesh

    values = hinges(second, np.maximum(hinges(first, mesh.vertices), 0))
    planned = plan(mesh, values, whole_set(second.n_hinges), workers)
    refinement = refine(mesh, planned, second.n_hinges, 6, workers, with_chords=True)
    new = refinement.mesh
    assert len(new.face_offsets) - 1 == planned.n_faces
    assert len(new.face_halfedges) == planned.n_halfedges
    assert len(refinement.cuts.codes) == planned.cuts.offsets[-1] > 0

    expected = network.head(2)(new.vertices)
    carried = np.full_like(expected, np.nan)
    carried[: len(values)] = hinges(third, second.activate(values))
    kinks = second.kink_columns(third.hinge_map[0])
    carry(mesh, refinement, values, kinks, carried, workers)
    np.testing.assert_allclose(carried, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_only_chosen_hinges_cut(workers):
    mesh = polygon_mesh(SQUARE)
    values = mesh.vertices @ np.random.default_rng(0).normal(size=(2, 70)) + 0.01
    chosen = np.zeros(70, bool)
    chosen[[3, 63, 64, 69]] = True
    planned = plan(mesh, values, pack_set(chosen), workers)
    refined = refine(mesh, planned, 70, 1000, workers, with_chords=False).mesh
    labels = set(refined.edge_labels.tolist())
    assert labels == {1003, 1063, 1064, 1069, -1, -2, -3, -4}
    check_mesh(refined, workers)


def test_sides_of_the_polygon_keep_their_labels(workers):
    mesh = polygon_mesh(HEXAGON)
    planned = plan(mesh, mesh.vertices[:, :1] + 0.1, whole_set(1), workers)
    refined = refine(mesh, planned, 1, 0, workers, with_chords=False).mesh
    outer = refined.edge_labels < 0
    for edge, label in zip(refined.edges[outer], refined.edge_labels[outer], strict=True):
        a, b = HEXAGON[-1 - label], HEXAGON[-label % 6]
        for x, y in refined.vertices[edge] - a:
            assert x * (b - a)[1] == pytest.approx(y * (b - a)[0], abs=1e-15)


VALUES = st.sampled_from([-1.0, -1e-300, 0.0, 1e-300, 1.0, 1e300, np.inf, -np.inf, np.nan])


@given(st.data(), polygons(), st.integers(1, 9))
@settings(max_examples=150, deadline=None)
def test_values_of_no_affine_function_are_refused_or_harmless(data, polygon, n_hinges):
    """Whatever the values, a mesh comes out whose numbers are in range, or an error."""
    mesh = polygon_mesh(polygon)
    with Workers() as workers:
        for label in (0, n_hinges):
            elements = VALUES | st.floats(-1, 1)
            shape = (len(mesh.vertices), n_hinges)
            if label:
                seed = data.draw(st.integers(0, 2**32 - 1))
                values = np.random.default_rng(seed).normal(size=shape)
            else:
                values = data.draw(arrays(np.float64, shape, elements=elements))
            planned = plan(mesh, values, whole_set(n_hinges), workers)
            try:
                with np.errstate(all="ignore"):
                    mesh = refine(mesh, planned, n_hinges, label, workers, with_chords=True).mesh
            except InvariantError:
                return
            halfedges = np.sort(mesh.face_halfedges)
            inner = np.flatnonzero(mesh.edge_faces.ravel() >= 0)
            np.testing.assert_array_equal(halfedges, inner)
            assert len(mesh.vertices) - len(mesh.edges) + len(mesh.face_offsets) - 1 == 1
            assert mesh.edges.min() >= 0
            assert mesh.edges.max() < len(mesh.vertices)


# --- workers --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_items", [0, 1, 5, 31, 1000])
@pytest.mark.parametrize("grain", [1, 7, 10**6])
def test_ranges_cover_all_items_in_order(workers, n_items, grain):
    ranges = workers.run(lambda start, stop: (start, stop), n_items, grain=grain)
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(n_items))
    assert all(stop - start >= grain for start, stop in ranges[1:])


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
from splinecam._kernels import edges

edges.popcount = lambda word: int(word).bit_count()  # an intrinsic has no Python
edges.trailing_zeros = lambda word: (int(word) & -int(word)).bit_length() - 1

from comparison import ARRAYS, assert_exact, on
from families import FAMILIES, GENERIC, example
from splinecam import InvariantError
import numpy as np

model, polygon = example("generic_mixed", 1)
p = on(model, polygon)
assert_exact(p, model)
np.savez(sys.argv[1], **{name: getattr(p, name) for name in ARRAYS})
for name in FAMILIES:
    if name not in GENERIC:
        for seed in range(2):  # numpy raises IndexError where compiled code would not look
            try:
                on(*example(name, seed))
            except InvariantError:
                pass
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
