"""Labels, patterns and networks that do not fit each other, in memory and in files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

import families_dag
import splinecam.partition.consistency
from comparison import default_mlp, on
from families import FAMILIES, HEXAGON, SQUARE, example, mixture
from splinecam import InvalidFileError, InvariantError, Partition
from splinecam.partition.consistency import check_consistency

PARTITIONS = {
    "relu": lambda: on(default_mlp(2, 6, 4, 1), SQUARE),
    "several breakpoints": lambda: on(*example("generic_hardtanh", 2)),
    "edges of several units": lambda: on(*example("duplicated", 4)),
    "chords that cross nothing": lambda: on(default_mlp(2, 3, 1), HEXAGON),
}


def changed(array: np.ndarray, index: int, value: int) -> np.ndarray:
    array = array.copy()
    array[index] = value
    return array


def is_consistent(p: Partition) -> bool:
    try:
        check_consistency(p)
    except InvariantError:
        return False
    return True


@pytest.mark.parametrize("name", FAMILIES)
def test_partitions_are_consistent(name):
    for seed in range(3):
        check_consistency(on(*example(name, seed)))


REDUCED = list(families_dag.FAMILIES)


def reduced(name: str, seed: int) -> Partition:
    model, _, polygon = families_dag.example(name, "generic", seed)
    return on(model, polygon)


@pytest.mark.parametrize("name", REDUCED)
def test_partitions_by_reduced_networks_are_consistent(name):
    for seed in range(3):
        check_consistency(reduced(name, seed))


@pytest.mark.parametrize("name", REDUCED)
def test_other_labels_and_root_patterns_of_reduced_networks_are_noticed(name):
    p = reduced(name, 1)
    for edge in np.flatnonzero(p.edge_hinges >= 0)[::3].tolist():
        for hinge in set(range(p.network.units.n_hinges)) - {int(p.edge_hinges[edge])}:
            wrong = replace(p, edge_hinges=changed(p.edge_hinges, edge, hinge))
            assert not is_consistent(wrong), (edge, hinge)
    for unit in range(p.n_units):
        for piece in set(range(4)) - {int(p.root_pattern[unit])}:
            wrong = replace(p, root_pattern=changed(p.root_pattern, unit, piece))
            assert not is_consistent(wrong), (unit, piece)


def test_mixtures_are_consistent():
    for seed in range(60):
        check_consistency(on(*mixture(np.random.default_rng([21, seed]))))


@pytest.mark.parametrize("name", PARTITIONS)
def test_every_other_label_of_an_edge_is_noticed(name):
    p = PARTITIONS[name]()
    for edge in np.flatnonzero(p.edge_hinges >= 0):
        for hinge in set(range(len(p.network.units.hinge_layers))) - {int(p.edge_hinges[edge])}:
            wrong = replace(p, edge_hinges=changed(p.edge_hinges, int(edge), hinge))
            wrong.check_invariants()
            assert not is_consistent(wrong), (edge, hinge)


@pytest.mark.parametrize("name", PARTITIONS)
def test_every_other_root_pattern_is_noticed(name):
    p = PARTITIONS[name]()
    for unit in range(p.n_units):
        for piece in set(range(256)) - {int(p.root_pattern[unit])}:
            wrong = replace(p, root_pattern=changed(p.root_pattern, unit, piece))
            wrong.check_invariants()
            assert not is_consistent(wrong), (unit, piece)


def test_every_other_shared_unit_is_noticed():
    p = PARTITIONS["edges of several units"]()
    assert len(p.shared_hinges)
    for entry, code in enumerate(p.shared_hinges.tolist()):
        for other in set(range(2 * p.n_units)) - {code}:
            wrong = replace(p, shared_hinges=changed(p.shared_hinges, entry, other))
            wrong.check_invariants()
            assert not is_consistent(wrong), (entry, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda p: {"edge_hinges": relabelled(p)}, r"change across edge \d+ contradict those of"),
        (lambda p: {"root_pattern": 1 - p.root_pattern}, r"beside edge \d+ are not those of its"),
        (lambda p: {"root_pattern": p.root_pattern + 2}, "pieces that its units do not have"),
        (lambda p: {"network": moved(p)}, r"region \d+ is not the network's: unit \d of layer 3"),
    ],
)
def test_files_that_contradict_themselves_are_refused(changes, message, tmp_path):
    p = PARTITIONS["relu"]()
    replace(p, **changes(p)).save(tmp_path / "wrong.npz")
    with pytest.raises(InvalidFileError, match=rf"wrong.npz is damaged: .*{message}"):
        Partition.load(tmp_path / "wrong.npz")


def relabelled(p: Partition) -> np.ndarray:
    edge = int(np.flatnonzero(p.edge_hinges >= 0)[0])
    return changed(p.edge_hinges, edge, (p.edge_hinges[edge] + 1) % p.n_units)


def moved(p: Partition) -> object:
    """The network with another bias in its second layer."""
    first, second = p.network.layers
    return replace(p.network, layers=(first, replace(second, bias=second.bias + 1)))


def test_files_whose_weights_overflow_are_refused(tmp_path):
    p = PARTITIONS["relu"]()
    layers = [replace(layer, weight=1e200 * layer.weight) for layer in p.network.layers]
    replace(p, network=replace(p.network, layers=tuple(layers))).save(tmp_path / "wrong.npz")
    with pytest.raises(InvalidFileError, match=r"wrong.npz is damaged: the weights are so large"):
        Partition.load(tmp_path / "wrong.npz")


def test_large_partitions_are_looked_at_in_places(monkeypatch):
    p = PARTITIONS["relu"]()
    monkeypatch.setattr(splinecam.partition.consistency, "ENTRIES", 3 * p.n_units)
    check_consistency(p)
    assert not is_consistent(replace(p, edge_hinges=relabelled(p)))
    assert not is_consistent(replace(p, network=moved(p)))


def test_batches_of_regions_are_all_looked_at(monkeypatch):
    monkeypatch.setattr(splinecam.partition.consistency, "BATCH", 1)
    p = PARTITIONS["chords that cross nothing"]()
    check_consistency(p)
    for unit in range(p.n_units):
        pattern = changed(p.root_pattern, unit, 1 - p.root_pattern[unit])
        assert not is_consistent(replace(p, root_pattern=pattern))


def test_networks_without_units_are_consistent():
    check_consistency(on(nn.Sequential(nn.Linear(2, 1)), HEXAGON))
