"""Saving and loading: equal bit for bit, and nothing else is read."""

import io
import json
import pickle
import zipfile
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import families_dag
from comparison import assert_identical, default_mlp, on
from families import HEXAGON, SQUARE, example, generic
from splinecam import InvalidFileError, Partition, Slice, compute_partition


def images() -> Partition:
    """A slice with a frame, an input shape and anchors that are not the simplest."""
    slice_ = Slice.through(np.random.default_rng(0).normal(size=(3, 1, 2, 2)), seed=4)
    model = nn.Sequential(nn.Flatten(), default_mlp(4, 6, 5, 2))
    return compute_partition(model, slice_)


def prelu_per_unit() -> Partition:
    return on(*generic(np.random.default_rng(1), activations=["prelu"], widths=[6, 4]))


def convolutional() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 2, padding=1), nn.ReLU(), nn.MaxPool2d(2, 1)),
        *(nn.Conv2d(3, 2, 2), nn.Hardtanh(), nn.Flatten(), nn.Linear(2, 3)),
    )


def example_dag(family: str, seed: int) -> tuple[nn.Module, np.ndarray]:
    model, _, polygon = families_dag.example(family, "generic", seed)
    return model, polygon


PARTITIONS = {
    "relu": lambda: on(default_mlp(2, 16, 16, 3), SQUARE),
    "several breakpoints": lambda: on(*example("generic_hardtanh", 2)),
    "slopes of each unit": prelu_per_unit,
    "images": images,
    "edges of several units": lambda: on(*example("duplicated", 4)),
    "convolutions": lambda: compute_partition(convolutional(), images().slice),
    "branches": lambda: on(*example_dag("residual", 1)),
    "max groups": lambda: on(*example_dag("pooled image", 0)),
    "overlapping windows": lambda: on(*example_dag("pooled residual", 0)),
    "many places": lambda: on(nn.Sequential(nn.Linear(2, 256), nn.MaxPool1d(256)), SQUARE),
    "no units": lambda: on(nn.Sequential(nn.Linear(2, 1)), HEXAGON),
    "nothing cuts": lambda: on(default_mlp(2, 3, 1), 1e-9 * HEXAGON),
}


def reload(p: Partition, path) -> Partition:
    p.save(path)
    return Partition.load(path)


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal bit for bit, all the way down."""
    assert type(ours) is type(theirs)
    if isinstance(ours, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert ours.tobytes() == theirs.tobytes()
    elif isinstance(ours, tuple):
        for pair in zip(ours, theirs, strict=True):
            assert_same(*pair)
    elif isinstance(ours, dict):
        assert_same(tuple(ours.items()), tuple(theirs.items()))
    elif is_dataclass(ours):
        for field in fields(ours):
            assert_same(getattr(ours, field.name), getattr(theirs, field.name))
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", PARTITIONS)
def test_round_trip(name, tmp_path):
    p = PARTITIONS[name]()
    q = reload(p, tmp_path / "partition.npz")
    assert_identical(q, p)
    assert (q.layer_names, q.layer_sizes, repr(q)) == (p.layer_names, p.layer_sizes, repr(p))
    for field in ("origin", "basis", "polygon", "anchors"):
        saved, loaded = getattr(p.slice, field), getattr(q.slice, field)
        assert (saved.shape, saved.tobytes()) == (loaded.shape, loaded.tobytes())
    assert q.slice.input_shape == p.slice.input_shape
    assert q.slice.area == p.slice.area
    assert_same(p.network, q.network)
    np.testing.assert_array_equal(q.patterns(), p.patterns())
    regions = np.arange(p.n_regions)
    for ours, theirs in zip(p.affine_maps(regions), q.affine_maps(regions), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(q.network(p.centroids), p.network(p.centroids))


def test_loaded_arrays_are_read_only(tmp_path):
    q = reload(PARTITIONS["relu"](), tmp_path / "partition.npz")
    with pytest.raises(ValueError, match="read-only"):
        q.vertices[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        q.region_halfedges[0] = 0


@pytest.mark.parametrize("name", ["partition", "partition.npz", "a name.with.dots"])
def test_the_file_has_the_name_that_was_given(name, tmp_path):
    p = PARTITIONS["nothing cuts"]()
    p.save(str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert_identical(Partition.load(str(tmp_path / name)), p)


def test_files_are_the_same_each_time(tmp_path):
    p = PARTITIONS["relu"]()
    q = reload(p, tmp_path / "first")
    q.save(tmp_path / "second")
    first, second = (members(tmp_path / name) for name in ("first", "second"))
    assert first == second


def test_arrays_can_be_read_by_numpy_alone(tmp_path):
    p = PARTITIONS["relu"]()
    p.save(tmp_path / "partition.npz")
    with np.load(tmp_path / "partition.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["vertices"], p.vertices)
        header = json.loads(str(arrays["header"]))
    assert (header["format"], header["version"]) == ("splinecam partition", 2)


# --- refusals -------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "partition.npz"
    PARTITIONS["relu"]().save(path)
    return path


@pytest.fixture
def saved_dag(tmp_path):
    path = tmp_path / "partition.npz"
    PARTITIONS["convolutions"]().save(path)
    return path


def refused(path, message: str) -> None:
    with pytest.raises(InvalidFileError, match=message) as caught:
        Partition.load(path)
    assert str(path) in str(caught.value)


def members(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def edit(path, **changes) -> None:
    """Replace arrays of a file; None removes them. A double underscore stands for a dot."""
    with np.load(path) as file:
        arrays = dict(file)
    for name, value in changes.items():
        arrays[name.replace("__", ".")] = value
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Partition.load(tmp_path / "partition.npz")


def test_refuses_what_is_no_archive(tmp_path):
    for name, content in {
        "empty": b"",
        "text": b"vertices, edges\n0, 1\n",
        "pickle": pickle.dumps({"vertices": np.zeros(3)}),
        "zeros": bytes(5000),
    }.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "is not a sound file of splinecam")
    np.save(tmp_path / "array.npy", np.zeros(3))
    refused(tmp_path / "array.npy", "is not a sound file of splinecam")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "is not a sound file of splinecam")


def test_refuses_other_archives(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, x=np.zeros(3))
    refused(path, "header")
    np.savez(path, header=np.array(json.dumps({"format": "something else"})))
    refused(path, "the header does not say 'splinecam partition'")
    np.savez(path, header=np.array("[1, 2]"))
    refused(path, "the header does not say 'splinecam partition'")
    np.savez(path, header=np.array("no json"))
    refused(path, "Expecting value")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", "text")
    refused(path, "magic")


class Bomb:
    """Goes off when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a file was unpickled",))


@pytest.mark.parametrize("name", ["header", "vertices", "another"])
def test_unpickles_nothing(saved, name):
    edit(saved, **{name: np.array([Bomb()], dtype=object)})
    refused(saved, "allow_pickle=False")


@pytest.mark.parametrize("version", [0, 3, "1", None])
def test_refuses_other_versions(saved, version):
    header = json.loads(str(arrays(saved)["header"]))
    edit(saved, header=np.array(json.dumps(header | {"version": version})))
    refused(saved, f"it is of version {version!r}; this release reads 1 and 2")


def test_refuses_files_from_which_anything_is_missing(saved):
    for name in arrays(saved):
        whole = saved.read_bytes()
        edit(saved, **{name: None})
        refused(saved, f"is not a sound file of splinecam: '{name}'")
        saved.write_bytes(whole)
    header = json.loads(str(arrays(saved)["header"]))
    for name in ("layers", "input_shape"):
        rest = {key: value for key, value in header.items() if key != name}
        edit(saved, header=np.array(json.dumps(rest)))
        refused(saved, name)


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        ("edges", (0, 0), 10**6, "is damaged: edges has entries outside"),
        ("edges", (3, 1), -1, "is damaged: edges has entries outside"),
        ("edges", (3, 1), 0, "is damaged: the loop of region"),
        ("edge_regions", (0, 0), 2**31 - 1, "is damaged: edge_regions has entries outside"),
        ("edge_regions", (2, 1), -2, "is damaged: edge_regions has entries outside"),
        ("edge_hinges", 5, 32, "is damaged: edge_hinges has entries outside -1 … 31"),
        ("region_offsets", 1, 10**6, "is damaged: region_offsets does not cut"),
        ("region_offsets", -1, -5, "is damaged: region_offsets does not cut"),
        ("region_halfedges", 4, 10**6, "is damaged: region_halfedges has entries outside"),
        ("region_halfedges", 4, -1, "is damaged: region_halfedges has entries outside"),
        ("vertices", (7, 0), np.inf, "is damaged: vertices are not finite"),
        ("vertices", (0, 0), -2, "is damaged: "),
        ("slice.origin", 0, np.nan, "origin holds nan"),
        ("slice.polygon", (0, 0), 5, "polygon"),
        ("slice.basis", (0, 0), 2, "basis"),
        ("layer0.weight", (0, 0), np.nan, "1: weight has .* entries that are not finite"),
        ("layer0.weight_errors", 0, np.nan, "1: weight_errors has .* entries that are not finite"),
        ("layer1.bias", 0, -np.inf, "3: bias has .* entries that are not finite"),
        ("output.bias", 0, np.nan, "output bias has .* entries that are not finite"),
    ],
)
def test_refuses_numbers_that_cannot_be(saved, name, index, value, message):
    array = arrays(saved)[name].copy()
    array[index] = value
    edit(saved, **{name: array})
    refused(saved, message)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("edges", np.int64, "edges has type int64 and 2 dimensions, expected int32 and 2"),
        ("vertices", np.float32, "vertices has type float32"),
        ("root_pattern", np.int8, "root_pattern has type int8"),
        ("layer0.weight", np.complex128, "layer0.weight has type complex128"),
        ("edges", np.ravel, "edges has type int32 and 1 dimensions, expected int32 and 2"),
        ("vertices", lambda a: a[0, 0], "vertices has type float64 and 0 dimensions"),
        ("vertices", lambda a: a[:, :1], "is damaged: the arrays' shapes do not fit each other"),
        ("vertices", lambda a: a[:0], "is damaged: edges has entries outside"),
        ("edges", lambda a: a[:-1], "is damaged: region_halfedges has entries outside"),
        ("edge_hinges", lambda a: a[1:], "is damaged: the arrays' shapes do not fit each other"),
        ("region_offsets", lambda a: a[:0], "is damaged: there is no region"),
        ("region_halfedges", lambda a: a[:0], "is damaged: region_offsets does not cut"),
        ("root_pattern", lambda a: a[1:], "is damaged: the arrays' shapes do not fit each other"),
        ("layer0.weight", lambda a: a[:, :1], r"1: weight has shape \(16, 1\)"),
        ("layer1.bias", lambda a: a[1:], "3: bias has shape"),
        ("layer0.slopes", lambda a: a[:, :1], "1: slopes has shape"),
        ("layer0.anchors", lambda a: a[:0], "1: "),
        ("layer0.weight_errors", lambda a: np.zeros(3), "1: weight_errors has shape"),
        ("layer1.bias_errors", lambda a: np.zeros(0), "3: bias_errors has shape"),
        ("output.weight", lambda a: a[:, 1:], "output weight has shape"),
    ],
)
def test_refuses_arrays_of_other_types_and_shapes(saved, name, change, message):
    array = arrays(saved)[name]
    edit(saved, **{name: array.astype(change) if isinstance(change, type) else change(array)})
    refused(saved, message)


def test_refuses_the_file_of_another_partition(saved, tmp_path):
    on(default_mlp(2, 16, 16, 3), 0.5 * SQUARE).save(tmp_path / "other")
    other = arrays(tmp_path / "other")
    edit(saved, slice__polygon=other["slice.polygon"])
    refused(saved, "is damaged: the areas sum to")


@pytest.mark.parametrize(
    ("name", "index", "value", "message"),
    [
        ("layer0.units", 0, 10**6, "1: units do not fit the step"),
        ("layer1.units", 0, -1, "units do not fit the step"),
        ("max1.children", (0, 0), 10**6, "the tournament does not fit"),
        ("max1.roots", 0, 10**6, "the tournament does not fit"),
        ("max1.members", slice(None), -1, "is damaged: "),
        ("rest", 0, 200, "rest does not have a piece of each unit"),
        ("root_pattern", 0, 1, "is damaged: "),
        ("layer0.bias", 0, 9.0, "is damaged: "),
        ("layer0.weight", (0, 0), 1e300, "is damaged: "),
        ("output.weight", (0, 0), np.nan, "output weight"),
    ],
)
def test_refuses_reduced_networks_that_cannot_be(saved_dag, name, index, value, message):
    array = arrays(saved_dag)[name].copy()
    before = array[index].copy()
    array[index] = value
    assert (before != array[index]).any()
    edit(saved_dag, **{name: array})
    refused(saved_dag, message)


def test_refuses_reduced_networks_from_which_anything_is_missing(saved_dag):
    for name in arrays(saved_dag):
        whole = saved_dag.read_bytes()
        edit(saved_dag, **{name: None})
        refused(saved_dag, f"is not a sound file of splinecam: '{name}'")
        saved_dag.write_bytes(whole)


@pytest.mark.parametrize(
    "change",
    [
        {"units": {}},
        {"steps": [0, 9]},
        {"steps": [1, 0]},
        {"steps": "ab"},
        *({field: value} for field in ("sizes", "highest") for value in ([1], [0, 1, 1], [True])),
        {"sizes": [10**30] * 3},
        {"names": [1, 2, 3]},
        {"are_groups": [0, 1, 0]},
        {"are_groups": [False] * 3},
    ],
)
def test_refuses_headers_that_cannot_be(saved_dag, change):
    header = json.loads(str(arrays(saved_dag)["header"]))
    target = header if set(change) <= set(header) else header["units"]
    target |= change
    edit(saved_dag, header=np.array(json.dumps(header)))
    refused(saved_dag, "is not a sound file of splinecam")


def test_reads_chains_of_version_1(saved):
    header = json.loads(str(arrays(saved)["header"]))
    edit(saved, header=np.array(json.dumps(header | {"version": 1})))
    assert_identical(Partition.load(saved), PARTITIONS["relu"]())


def test_refuses_truncated_files(saved):
    whole = saved.read_bytes()
    for length in range(0, len(whole), len(whole) // 60):
        saved.write_bytes(whole[:length])
        refused(saved, "is not a sound file of splinecam")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("shared_edges", 10**6, "is damaged: shared_edges has entries outside"),
        ("shared_edges", -1, "is damaged: shared_edges has entries outside"),
        ("shared_edges", 10**3, "is damaged: shared_edges "),
        ("shared_hinges", 10**6, "is damaged: shared_hinges has entries outside"),
        ("shared_hinges", -1, "is damaged: shared_hinges has entries outside"),
    ],
)
def test_refuses_shared_edges_that_cannot_be(tmp_path, name, value, message):
    path = tmp_path / "partition.npz"
    PARTITIONS["edges of several units"]().save(path)
    array = arrays(path)[name].copy()
    array[0] = value
    edit(path, **{name: array})
    refused(path, message)


def is_refused(path, content: bytes, p: Partition) -> bool:
    """Whether a damaged file is refused; assert that it is the partition otherwise."""
    path.write_bytes(content)
    try:
        q = Partition.load(path)
    except InvalidFileError:
        return True
    assert_identical(q, p)
    return False


def test_damaged_bytes_are_noticed_or_of_no_consequence(saved):
    p, whole = Partition.load(saved), saved.read_bytes()
    rng = np.random.default_rng(0)
    n_refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        n_refused += is_refused(saved, bytes(damaged), p)
    assert n_refused > 200


def test_damage_to_the_end_of_the_archive_is_noticed(saved):
    p, whole = Partition.load(saved), saved.read_bytes()
    end = whole.rindex(b"PK\5\6")
    n_refused = 0
    for position in range(end, len(whole)):  # among others, where the archive's directory is
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        n_refused += is_refused(saved, bytes(damaged), p)
    assert n_refused >= 12


@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required additional header")
def test_damaged_headers_of_arrays_are_noticed(saved):
    p, parts = Partition.load(saved), members(saved)
    n_refused = 0
    for position in range(128):
        damaged = bytearray(parts["edges.npy"])
        damaged[position] = ord("(")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, member in (parts | {"edges.npy": bytes(damaged)}).items():
                archive.writestr(name, member)
        n_refused += is_refused(saved, content.getvalue(), p)
    assert n_refused > 120
