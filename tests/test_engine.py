"""The engine against the exact oracle, the model itself, closed forms and known counts.

Degenerate networks have a module of their own, `test_exactness`.
"""

import logging
import math
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info
from torch import nn

from comparison import (
    ARRAYS,
    assert_agrees_with_model,
    assert_exact,
    assert_identical,
    default_mlp,
    on,
)
from families import (
    ACTIVATIONS,
    DIAMOND,
    GENERIC,
    HEXAGON,
    SQUARE,
    TRIANGLE,
    UNIT_SQUARE,
    Abs,
    build,
    example,
    gaussian,
    linear,
)
from splinecam import (
    InsufficientMemoryError,
    InvalidArgumentError,
    InvalidModelError,
    Partition,
    RegionLimitError,
    Slice,
    compute_partition,
)
from splinecam.common.workers import Workers
from splinecam.convert import convert
from splinecam.cutting import mesh
from splinecam.cutting import refine as cutting
from splinecam.cutting.small import cut_small
from splinecam.network import propagate
from splinecam.network.restrict import restrict
from strategies import integer_networks, sliced_networks

WORD_BORDERS = [0, 1, 31, 32, 62, 63, 64, 65, 127, 128]


def linears(model: nn.Module) -> list[nn.Linear]:
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def tangents(n: int) -> nn.Sequential:
    """Make n ReLUs whose zero lines touch the unit circle: no three meet, no two are parallel."""
    angles = 2 * np.pi / (2 * n + 1) * np.arange(n) + 0.1
    weight = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return nn.Sequential(linear(weight, np.ones(n), torch.float64), nn.ReLU())


def cutting_at_word_borders(rng, width, prefix):
    """Draw units of which only those next to the borders of 32- and 64-bit words cut the slice."""
    weight, bias = gaussian(rng, width, prefix)
    quiet = ~np.isin(np.arange(width), WORD_BORDERS)
    return weight, bias + 1000 * quiet * rng.choice([-1, 1], size=width)


# --- exactly the oracle's -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", GENERIC)
def test_generic_networks_are_partitioned_exactly(name, seed):
    model, polygon = example(name, seed)
    p = on(model, polygon)
    assert_exact(p, model)
    assert_agrees_with_model(p, model)


@given(sliced_networks())
@settings(max_examples=60, deadline=None)
def test_networks_in_general_position_are_partitioned_exactly(case):
    model, polygon = case
    p = on(model, polygon)
    assert_exact(p, model)
    assert_agrees_with_model(p, model)
    assert p.areas.sum() == pytest.approx(p.slice.area, rel=1e-12)
    assert p.n_vertices - p.n_edges + p.n_regions == 1


@given(integer_networks(), st.sampled_from([SQUARE, HEXAGON, UNIT_SQUARE]))
@settings(max_examples=60, deadline=None)
def test_integer_networks_are_partitioned_exactly(model, polygon):
    assert_exact(on(model, polygon), model)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_units", [63, 64, 65, 128, 129])
def test_units_at_word_borders_of_the_first_layer(n_units, activation):
    rng = np.random.default_rng(n_units)
    families = [cutting_at_word_borders, gaussian]
    model = build(rng, DIAMOND, families, [n_units, 3], [activation, "relu"])
    assert_exact(on(model, DIAMOND), model)


@pytest.mark.parametrize("activation", ["relu", "hardtanh"])
@pytest.mark.parametrize("n_units", [40, 63, 64, 65, 128, 129])
def test_units_at_word_borders_of_a_later_layer(n_units, activation):
    rng = np.random.default_rng(n_units)
    families = [gaussian, cutting_at_word_borders, gaussian]
    model = build(rng, TRIANGLE, families, [3, n_units, 3], ["relu", activation, activation])
    assert_exact(on(model, TRIANGLE), model)


def test_first_layer_of_80_hinges():
    model = build(np.random.default_rng(0), HEXAGON, [gaussian], [40], ["hardtanh"])
    p = on(model, HEXAGON)
    assert p.n_regions > 1000
    assert_exact(p, model)


def test_wide_first_layer_of_which_little_cuts():
    model = nn.Sequential(linear(np.eye(100, 2), np.full(100, 0.5), torch.float64), nn.ReLU())
    p = on(model, SQUARE)
    assert p.n_regions == 4
    assert p.patterns()[:, 2:].all()
    assert_exact(p, model)


def test_slice_that_nothing_cuts():
    model = default_mlp(2, 100, 16, 3)
    polygon = 1e-6 * HEXAGON + [0.3, -0.2]
    p = on(model, polygon)
    assert (p.n_regions, p.n_vertices, p.n_edges) == (1, 6, 6)
    assert_exact(p, model)
    assert_agrees_with_model(p, model)


def test_all_layers_dead():
    model = default_mlp(2, 70, 5, 1)
    with torch.no_grad():
        linears(model)[0].bias.sub_(100)
    p = on(model, SQUARE)
    assert p.n_regions == 1
    assert not p.patterns()[:, :70].any()
    assert not p.affine_maps()[0].any()
    assert_exact(p, model)


@pytest.mark.parametrize("n_first", [4, 70])
def test_only_the_last_layer_cuts(n_first):
    rng = np.random.default_rng(0)
    model = build(rng, SQUARE, [gaussian] * 3, [n_first, 5, 8], ["relu"] * 3)
    first, second, third, _ = linears(model)
    with torch.no_grad():
        first.bias.add_(1e3)
        second.bias.sub_(1e3 * second.weight.sum(1)).add_(1e3)
        third.bias.sub_(1e3 * third.weight.sum(1))
    p = on(model, SQUARE)
    assert p.n_regions > 10
    assert set(p.edge_layers.tolist()) == {-1, 2}
    assert_exact(p, model)


@pytest.mark.parametrize("module", [nn.LeakyReLU(1.0), nn.PReLU(init=1.0)])
def test_units_that_do_not_bend_still_have_their_edges(module):
    rng = np.random.default_rng(3)
    model = build(rng, SQUARE, [gaussian] * 2, [6, 6], ["relu"] * 2)
    model[1], model[3] = module, nn.LeakyReLU(1.0)
    p = on(model, SQUARE)
    assert p.n_regions > 30
    slopes, offsets = p.affine_maps()
    assert np.ptp(slopes, axis=0).max() < 1e-12 * np.abs(slopes).max()
    assert np.ptp(offsets, axis=0).max() < 1e-12 * np.abs(offsets).max()
    assert_exact(p, model)


def test_model_without_layers():
    model = nn.Sequential(nn.Linear(2, 3))
    p = on(model, HEXAGON)
    assert (p.n_regions, p.n_vertices, p.n_edges, p.n_units) == (1, 6, 6, 0)
    assert p.patterns().shape == (1, 0)
    assert p.layer_names == p.layer_sizes == ()
    assert set(p.edge_layers.tolist()) == set(p.edge_units.tolist()) == {-1}
    assert_exact(p, model)
    assert_agrees_with_model(p, model)


def test_activation_comes_first():
    model = nn.Sequential(Abs(), linear(np.eye(2), np.full(2, -0.5), torch.float64), nn.Hardtanh())
    assert_exact(on(model, SQUARE - [0.1, 0.2]), model)


def test_module_that_is_used_twice():
    rng = np.random.default_rng(0)
    model = build(rng, SQUARE, [gaussian] * 2, [6, 6], ["relu"] * 2)
    first, second, last = linears(model)
    relu = nn.ReLU()
    tied = nn.Sequential(first, relu, second, relu, second, relu, last)
    p = on(tied, SQUARE)
    assert p.layer_sizes == (6, 6, 6)
    assert_exact(p, tied)
    assert_agrees_with_model(p, tied)


def test_slice_of_images():
    rng = np.random.default_rng(0)
    slice_ = Slice.through(rng.normal(size=(3, 2, 3, 3)), pad=0.3).with_regular_polygon(5, 2.0)
    hidden = [linear(rng.normal(size=(8, k)), rng.normal(size=8), torch.float32) for k in (18, 8)]
    model = nn.Sequential(nn.Flatten(), hidden[0], nn.ReLU(), hidden[1], nn.ReLU6())
    p = compute_partition(model, slice_)
    assert p.n_regions > 50
    assert_exact(p, model)
    assert_agrees_with_model(p, model)


def test_batch_norm_as_evaluated():
    model = default_mlp(2, 12, 12, 2)
    norm = nn.BatchNorm1d(12)
    statistics = {
        "running_mean": torch.linspace(-0.1, 0.3, 12),
        "running_var": torch.linspace(0.01, 2, 12),
        "weight": torch.linspace(-1, 2, 12),
    }
    norm.load_state_dict(statistics, strict=False)
    model.insert(1, norm).append(nn.Dropout())
    p = on(model.train(), SQUARE)
    assert p.n_regions > 30
    assert_agrees_with_model(p, model)


# --- known counts and closed forms ----------------------------------------------------------


@pytest.mark.parametrize(
    ("widths", "n_regions"),
    [
        ((2, 16, 16, 16, 1), 178),
        ((2, 64, 64, 64, 1), 6_668),
        ((2, 128, 128, 128, 1), 20_714),
        ((2, 256, 256, 1), 37_357),
    ],
)
def test_known_counts_of_default_networks(widths, n_regions):
    model = default_mlp(*widths)
    p = on(model, SQUARE)
    assert p.n_regions == n_regions
    assert p.layer_sizes == widths[1:-1]
    assert_agrees_with_model(p, model)


def test_known_count_of_a_wide_network():
    p = on(default_mlp(2, 1000, 1), SQUARE)
    assert p.n_regions == 176_967
    p.check_invariants()


@pytest.mark.parametrize("n", [1, 2, 3, 31, 32, 33, 63, 64, 65, 66, 127, 128, 129, 160])
def test_lines_in_general_position(n):
    model = tangents(n)
    p = on(model, 3 * n * SQUARE)
    assert p.n_regions == 1 + n + math.comb(n, 2)
    assert p.n_vertices == math.comb(n, 2) + 2 * n + 4
    assert p.n_edges == n**2 + 2 * n + 4
    assert_agrees_with_model(p, model)


@pytest.mark.parametrize(
    ("n", "weight_std", "bias_std", "radius"), [(60, 1, 1, 1), (100, 1, 0.3, 0.5), (20, 0.5, 2, 3)]
)
def test_expected_number_of_regions_of_a_random_layer(n, weight_std, bias_std, radius):
    """A line hits a disc, or two cross in it, with probabilities that have a closed form.

    The regular 200-gon whose incircle and circumcircle lie on either side of the disc differs
    from it in expectation by less than a tenth of the statistical error.
    """
    norm = math.hypot(bias_std, weight_std * radius)
    hit, cross = radius * weight_std / norm, 1 - bias_std / norm
    expected = 1 + n * hit + math.comb(n, 2) * cross
    rng = np.random.default_rng(n)
    circumradius = radius / math.sqrt(math.cos(math.pi / 200))
    slice_ = Slice.box((-1, 1), (-1, 1)).with_regular_polygon(200, circumradius)
    counts = []
    for _ in range(300):
        layer = weight_std * rng.normal(size=(n, 2)), bias_std * rng.normal(size=n)
        model = nn.Sequential(linear(*layer, torch.float64), nn.ReLU())
        counts.append(compute_partition(model, slice_).n_regions)
    z_score = (np.mean(counts) - expected) / (np.std(counts, ddof=1) / math.sqrt(len(counts)))
    assert abs(z_score) < 3


# --- whatever does the work -----------------------------------------------------------------


@pytest.fixture
def many_blocks(monkeypatch):
    """Cut the work on the smallest of meshes into as many blocks as there can be."""
    for module in (cutting, mesh, propagate):
        for grain in ("EDGE_GRAIN", "FACE_GRAIN", "VALUE_GRAIN", "PRODUCT_GRAIN"):
            monkeypatch.setattr(module, grain, 1, raising=False)
    monkeypatch.setattr(cutting, "CHEAP", 1)
    monkeypatch.setattr("splinecam.cutting.subdivision.SMALL_VALUES", 0)
    monkeypatch.setattr("splinecam.cutting.small.SMALL_LAYER", 0)


@pytest.fixture
def four_processors(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3})


def in_steps(name: str, seed: int) -> Partition:
    """Cut an example layer by layer, however small it is."""
    with mock.patch("splinecam.cutting.small.SMALL_LAYER", 0):
        return on(*example(name, seed))


SERIAL = {
    f"{name}-{seed}": in_steps(name, seed)
    for name in ("generic_mixed", "generic_shallow", "generic_deep")
    for seed in range(4)
}
"""Small enough for one call a layer; computed before any test changes what is small."""


@pytest.mark.usefixtures("many_blocks", "four_processors")
@pytest.mark.parametrize("name", SERIAL)
def test_blocks_give_what_one_piece_gives(name):
    family, seed = name.split("-")
    assert_identical(on(*example(family, int(seed))), SERIAL[name])


@pytest.mark.parametrize("name", SERIAL)
def test_one_call_for_all_layers_gives_what_steps_give(name):
    family, seed = name.split("-")
    found, expected = on(*example(family, int(seed))), SERIAL[name]
    for array in ARRAYS:
        ours, theirs = getattr(found, array), getattr(expected, array)
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 if ours.dtype == float else 0)


@pytest.mark.parametrize("activation", ["relu", "abs"])
def test_small_networks_are_cut_in_one_call(activation):
    model = build(np.random.default_rng(0), DIAMOND, [gaussian] * 3, [9, 64, 5], [activation] * 3)
    network = restrict(convert(model, (2,)), Slice((0, 0), np.eye(2), DIAMOND))
    expected = on(model, DIAMOND)
    found = cut_small(network, DIAMOND, expected.n_regions)
    assert found is not None
    cut, pattern = found
    assert cut.vertices.tobytes() == expected.vertices.tobytes()
    assert pattern.tobytes() == expected.root_pattern.tobytes()
    assert cut_small(network, DIAMOND, expected.n_regions - 1) is None
    assert_exact(expected, model)


@pytest.mark.usefixtures("many_blocks")
@pytest.mark.parametrize("n_units", [64, 65, 129])
def test_blocks_of_two_batches(n_units):
    rng = np.random.default_rng(n_units)
    families = [cutting_at_word_borders, gaussian]
    model = build(rng, DIAMOND, families, [n_units, 3], ["hardtanh", "relu"])
    assert_exact(on(model, DIAMOND), model)


@pytest.mark.usefixtures("many_blocks", "four_processors")
@pytest.mark.parametrize("name", ["integer", "duplicated", "tent", "many_concurrent"])
def test_blocks_of_degenerate_networks(name):
    for seed in range(5):
        model, polygon = example(name, seed)
        assert_exact(on(model, polygon), model)


@pytest.fixture(scope="module")
def large() -> tuple[nn.Module, Partition]:
    model = default_mlp(2, 128, 128, 128, 1)
    return model, on(model, SQUARE)


def test_two_runs_are_equal(large):
    model, p = large
    assert_identical(on(model, SQUARE), p)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_number_of_threads_changes_nothing(large, n_threads):
    model, p = large
    with ThreadPoolExecutor(n_threads) as executor:
        for _ in range(3):
            assert_identical(on(model, SQUARE, executor=executor), p)
        assert executor.submit(int).result() == 0  # it is left open


@pytest.mark.parametrize("n_processors", [1, 2, 4])
def test_number_of_processors_changes_nothing(large, n_processors, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(n_processors)))
    model, p = large
    assert_identical(on(model, SQUARE), p)


@pytest.mark.usefixtures("four_processors")
def test_busy_executor_is_not_waited_for(large):
    model, p = large
    release = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(release.wait)
        try:
            assert_identical(on(model, SQUARE, executor=executor), p)
        finally:
            release.set()


def test_calls_from_several_threads_are_independent(large):
    model, p = large
    with ThreadPoolExecutor(3) as callers:
        for q in callers.map(lambda _: on(model, SQUARE), range(3)):
            assert_identical(q, p)


@pytest.mark.parametrize("n_rows", [1, propagate.ROWS, 40 * propagate.ROWS + 7])
def test_values_are_propagated_in_blocks_on_any_device(n_rows):
    network = restrict(convert(default_mlp(2, 30, 40, 1), (2,)), Slice.box((-1, 1), (-1, 1)))
    first, second = network.layers
    values = np.random.default_rng(0).normal(size=(n_rows, 30))
    weight, bias = second.hinge_map
    expected = np.maximum(values, 0) @ weight.T + bias
    here, elsewhere = np.zeros((2, n_rows + 3, 40))
    device = torch.device("cpu")
    with Workers() as workers:
        propagate.propagate(first, weight, bias, values, here, device, workers)
    base = np.broadcast_to(bias, (n_rows, 40))
    propagate._propagate_on(device, first, weight, base, values, elsewhere)
    for carried in (here, elsewhere):
        np.testing.assert_allclose(carried[:n_rows], expected, rtol=1e-12, atol=1e-12)
        assert not carried[n_rows:].any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda(large):
    model, p = large
    q = on(model, SQUARE, device="cuda")
    assert q.n_regions == p.n_regions
    np.testing.assert_array_equal(q.edges, p.edges)
    np.testing.assert_allclose(q.vertices, p.vertices, rtol=0, atol=1e-9)


# --- limits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n_done", [1, 2])
def test_region_limit_hands_over_the_layers_before_it(large, n_done):
    model, whole = large
    truncated = on(model[: 2 * n_done + 1], SQUARE)
    following = on(model[: 2 * n_done + 3], SQUARE)
    limit = following.n_regions - 1
    with pytest.raises(RegionLimitError) as caught:
        on(model, SQUARE, max_regions=limit)
    error = caught.value
    assert (error.n_regions, error.max_regions) == (following.n_regions, limit)
    assert str(error) == (
        f"layer {n_done} ({2 * n_done + 1}) makes at least {following.n_regions:,} regions, "
        f"max_regions is {limit:,}; the error carries the partition by the {n_done} layers "
        "before it"
    )
    assert_identical(error.partition, truncated)
    assert error.partition.layer_names == whole.layer_names[:n_done]
    assert_agrees_with_model(error.partition, model[: 2 * n_done + 1])


@pytest.mark.parametrize("n_units", [8, 200])
def test_region_limit_in_the_first_layer(n_units):
    model = default_mlp(2, n_units, 1)
    with pytest.raises(RegionLimitError, match=r"layer 0 \(1\) makes at least .* is 5;") as caught:
        on(model, SQUARE, max_regions=5)
    p = caught.value.partition
    assert (p.n_regions, p.n_units) == (1, 0)
    assert caught.value.n_regions > 5
    assert_agrees_with_model(p, model[:1])


def test_as_many_regions_as_are_allowed():
    model = default_mlp(2, 16, 16, 16, 1)
    assert_identical(on(model, SQUARE, max_regions=178), on(model, SQUARE))
    with pytest.raises(RegionLimitError, match="makes at least 178 regions, max_regions is 177"):
        on(model, SQUARE, max_regions=177)
    assert on(nn.Sequential(nn.Linear(2, 1)), SQUARE, max_regions=1).n_regions == 1


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize("max_regions", [0, -3])
def test_refuses_a_limit_below_one(max_regions):
    message = f"max_regions is {max_regions}; accepted: an integer of 1 or more, or None"
    with pytest.raises(InvalidArgumentError, match=message):
        on(default_mlp(2, 4, 1), SQUARE, max_regions=max_regions)


def test_refuses_what_is_no_executor():
    with pytest.raises(InvalidArgumentError, match="executor is a int; accepted: a concurrent"):
        on(default_mlp(2, 4, 1), SQUARE, executor=2)


def test_refuses_a_model_of_other_inputs():
    with pytest.raises(InvalidModelError, match="0"):
        on(default_mlp(3, 4, 1), SQUARE)


# --- what must not change -------------------------------------------------------------------


def world(model: nn.Module) -> dict[str, object]:
    """What a computation could leave changed."""
    tensors = [*model.parameters(), *model.buffers()]
    blas = [(library["filepath"], library["num_threads"]) for library in threadpool_info()]
    return {
        "torch generator": torch.get_rng_state().tolist(),
        "numpy generator": repr(np.random.get_state()),  # noqa: NPY002
        "python generator": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads(), sorted(blas)),
        "default dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "floating-point errors": np.geterr(),
        "log level": logging.getLogger().level,
        "weights": [(t.dtype, t.requires_grad, t.grad, t.tolist(), t._version) for t in tensors],
        "modes": [m.training for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
    }


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Hardtanh()])
def test_nothing_else_changes(activation):
    model = default_mlp(2, 128, 100, 40, 1).train()
    model[3] = activation
    before = world(model)
    on(model, SQUARE)
    assert world(model) == before
    with pytest.raises(RegionLimitError):
        on(model, SQUARE, max_regions=100)
    assert world(model) == before


def test_blas_limit_is_lifted_by_another_thread_than_set_it():
    """As after an error, when a thread that is busy with a tile is not waited for."""
    before = threadpool_info()
    first, last = Workers(n_helpers=0), Workers(n_helpers=0)
    with first:
        first.limit_blas()
        last.limit_blas()
        limited = [library["num_threads"] for library in threadpool_info() if is_blas(library)]
    with ThreadPoolExecutor(1) as thread:
        thread.submit(last.__exit__, None, None, None).result()
    assert set(limited) == {1}
    assert threadpool_info() == before


def is_blas(library: dict[str, object]) -> bool:
    return library["user_api"] == "blas"


def test_partition_keeps_its_network_when_the_model_changes():
    model = default_mlp(2, 16, 16, 1)
    p = on(model, SQUARE)
    before = p.affine_maps()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for found, expected in zip(p.affine_maps(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_progress_goes_to_stderr(capfd):
    model = default_mlp(2, 16, 16, 16, 1)
    shown = on(model, SQUARE, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert re.search(r"cutting: 100%.* 3/3 .*regions=178", err)
    assert_identical(on(model, SQUARE), shown)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("scale", [1e100, 1e300])
def test_refuses_weights_that_overflow(scale):
    model = default_mlp(2, 4, 4, 4, 1).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    with pytest.raises(InvalidModelError, match="may overflow float64"):
        on(model, SQUARE)


@pytest.mark.parametrize("max_regions", ["3", 2.5, True])
def test_refuses_limits_that_are_no_integers(max_regions):
    with pytest.raises(InvalidArgumentError, match="accepted: an integer of 1 or more"):
        on(default_mlp(2, 3, 1), SQUARE, max_regions=max_regions)


@pytest.mark.parametrize("device", ["nonsense", 3.5, "meta"])
def test_refuses_devices_that_do_not_compute(device):
    with pytest.raises(InvalidArgumentError, match="device is"):
        on(default_mlp(2, 3, 1), SQUARE, device=device)


def test_refuses_what_is_no_slice():
    with pytest.raises(InvalidArgumentError, match="slice_ is a ndarray"):
        compute_partition(default_mlp(2, 3, 1), SQUARE)


def test_refuses_more_memory_than_is_free(monkeypatch):
    monkeypatch.setattr("splinecam.cutting.subdivision.SMALL_VALUES", 0)
    monkeypatch.setattr("splinecam.cutting.small.SMALL_LAYER", 0)
    monkeypatch.setattr("splinecam.engine.NEGLIGIBLE", 0)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    with pytest.raises(InsufficientMemoryError, match="MiB of memory") as caught:
        on(default_mlp(2, 8, 1), SQUARE)
    assert caught.value.needed > caught.value.available == 800  # a share of what is free
