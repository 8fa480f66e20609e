"""Local complexity: against its definition, convert's programs, partitions, and closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional

from comparison import default_mlp
from small_models import Apply, in_double
from splinecam import (
    InvalidArgumentError,
    InvalidModelError,
    Slice,
    UnsupportedLayerError,
    compute_partition,
)
from splinecam.convert import convert
from splinecam.measures.complexity import LocalComplexity, local_complexity
from splinecam.measures.windows import region_count


def rows(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(n, *shape))


def corners_of(points: np.ndarray, **options) -> np.ndarray:
    """Return the inputs (n, 2 P, ...) at which a model is evaluated."""
    seen: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        seen.append(x.clone())
        return x

    local_complexity(nn.Sequential(Apply(keep), nn.ReLU()), points, **options)
    return torch.cat(seen).numpy().reshape(len(points), -1, *points.shape[1:])


def by_definition(preactivations: list[Tensor], n_points: int) -> np.ndarray:
    """Count, one point after the other, the units without the same sign at all corners."""
    counts = []
    for layer in preactivations:
        for_points = layer.reshape(n_points, -1, *layer.shape[1:]).flatten(2).sign().numpy()
        counts.append([sum(len(set(unit)) > 1 for unit in signs.T) for signs in for_points])
    return np.array(counts).T


# --- The cross-polytope ----------------------------------------------------------------------


def test_corners_are_those_of_one_cross_polytope_around_every_point():
    points = rows(5, 3, 4)
    corners = corners_of(points, radius=0.25, n_directions=7, seed=2)
    steps = (corners - points[:, None]).reshape(5, 14, 12)
    np.testing.assert_allclose(steps - steps[:1], 0, atol=1e-15)
    np.testing.assert_allclose(steps[0, :7], -steps[0, 7:], atol=1e-15)
    directions = steps[0, :7] / 0.25
    np.testing.assert_allclose(directions @ directions.T, np.eye(7), atol=1e-14)


def test_seed_decides_the_directions_and_nothing_else_does():
    points = rows(6, 9)
    options = {"radius": 0.1, "n_directions": 3}
    first = corners_of(points, **options, seed=1)
    torch.manual_seed(77)
    np.random.seed(77)  # noqa: NPY002
    np.testing.assert_array_equal(corners_of(points, **options, seed=1, batch_size=4), first)
    assert not np.allclose(corners_of(points, **options, seed=2), first)


# --- Against the definition ------------------------------------------------------------------


@pytest.mark.parametrize("n_directions", [1, 4, 10])
def test_agrees_with_the_definition(n_directions):
    model = default_mlp(10, 12, 8, 3)
    points, options = rows(20, 10), {"radius": 0.5, "n_directions": n_directions}
    complexity = local_complexity(model, points, **options)
    corners = torch.from_numpy(corners_of(points, **options)).flatten(0, 1)
    expected = by_definition(convert(model, (10,)).preactivations(corners), 20)
    np.testing.assert_array_equal(complexity.per_layer, expected)
    assert complexity.per_layer.dtype == np.int64
    assert 0 < expected.sum() < expected.size * 12
    np.testing.assert_array_equal(complexity.total, expected.sum(axis=1))
    np.testing.assert_allclose(complexity.fraction, expected.sum(axis=1) / 20)


def test_units_that_change_are_counted_over_the_points():
    model = default_mlp(10, 12, 8, 3)
    points, options = rows(20, 10), {"radius": 0.5, "n_directions": 4}
    together = local_complexity(model, points, **options, batch_size=7)
    alone = [local_complexity(model, points[i : i + 1], **options) for i in range(20)]
    assert [counts.shape for counts in together.per_unit] == [(12,), (8,)]
    for layer, counts in enumerate(together.per_unit):
        changed = np.stack([one.per_unit[layer] for one in alone])
        assert set(changed.ravel().tolist()) == {0, 1}
        np.testing.assert_array_equal(changed.sum(axis=0), counts)
        np.testing.assert_array_equal(changed.sum(axis=1), together.per_layer[:, layer])


def test_absolute_values_and_bounds_of_what_is_no_value_of_the_network_do_not_count():
    positions = torch.arange(-3.0, 4.0)

    def forward(x: Tensor) -> Tensor:
        return functional.relu(x) * positions.abs().clamp(max=2).sum()

    found = local_complexity(Apply(forward), rows(4, 3), radius=1, n_directions=2)
    assert found.layer_names == ("relu",)


def test_output_of_the_last_linear_layer_does_not_count():
    complexity = local_complexity(default_mlp(4, 7, 5, 3), rows(2, 4), radius=1, n_directions=2)
    assert (complexity.layer_names, complexity.layer_sizes) == (("1", "3"), (7, 5))


@pytest.mark.parametrize("radius", [1e-4, 10.0])
@pytest.mark.parametrize("n_directions", [2, 16])
def test_all_units_of_a_linear_network_without_biases_meet_at_the_origin(radius, n_directions):
    # Humayun et al. 2024, appendix A: zero biases, so that each zero set passes the origin.
    torch.manual_seed(0)
    linear = [nn.Linear(16, 16, bias=False) for _ in range(10)]
    model = nn.Sequential(*(m for layer in linear for m in (layer, nn.LeakyReLU(1.0))))
    options = {"radius": radius, "n_directions": n_directions}
    complexity = local_complexity(model, np.zeros((1, 16)), **options)
    assert complexity.per_layer.tolist() == [[16] * 10]


def test_zero_at_one_corner_is_a_sign_of_its_own_and_zero_everywhere_is_no_change():
    model = nn.Sequential(nn.Linear(1, 2, dtype=torch.float64), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [0.0]]))
        model[0].bias.copy_(torch.tensor([0.0, 0.0]))
    per_point = local_complexity(model, [[0.5], [0.75], [0.0]], radius=0.5, n_directions=1)
    assert per_point.total.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "activation",
    [
        *(nn.LeakyReLU(), nn.PReLU(5), nn.RReLU(), nn.ELU(), nn.CELU(), nn.SELU(), nn.GELU()),
        *(nn.GELU("tanh"), nn.SiLU(inplace=True), nn.Mish(), nn.Softplus(), nn.ReLU(inplace=True)),
        *(Apply(torch.relu_), Apply(lambda x: functional.leaky_relu(input=x)), Apply(Tensor.relu)),
        *(
            Apply(functional.silu),
            Apply(lambda x: functional.elu(x, inplace=True)),
            Apply(functional.gelu),
        ),
    ],
    ids=str,
)
def test_first_layer_counts_by_sign_whatever_the_activation(activation):
    model = default_mlp(6, 5, 2)
    points, options = rows(30, 6), {"radius": 0.5, "n_directions": 6}
    expected = local_complexity(model, points, **options)
    model[1] = activation
    found = local_complexity(model, points, **options)
    np.testing.assert_array_equal(found.per_layer, expected.per_layer)
    assert expected.total.any()


@pytest.mark.parametrize(
    ("activation", "breakpoints"),
    [
        (nn.Hardtanh(-0.5, 0.25), (-0.5, 0.25)),
        (nn.ReLU6(), (0, 6)),
        (Apply(functional.relu6), (0, 6)),
        (nn.Hardsigmoid(), (-3, 3)),
        (nn.Hardswish(), (-3, 3)),
        (nn.Softshrink(0.75), (-0.75, 0.75)),
        (nn.Threshold(0.5, 0.5), (0.5,)),
        (Apply(abs), (0,)),
        (Apply(lambda x: x.clamp(-0.5, 0.25)), (-0.5, 0.25)),
        (Apply(lambda x: torch.clamp(x, min=0)), (0,)),
        (Apply(lambda x: x.clip(max=6.0)), (6,)),
        (Apply(lambda x: x.clamp_min(-0.75).clamp_max_(3)), (-0.75, 3)),
    ],
    ids=str,
)
def test_breakpoints_other_than_zero_count_instead_of_it(activation, breakpoints):
    distances = [-7.0, -3.0, -0.75, -0.5, 0.0, 0.25, 0.5, 0.75, 3.0, 6.0, 7.0]
    model = nn.Sequential(activation)
    found = local_complexity(model, np.array([distances]).T, radius=0.01, n_directions=1)
    assert found.total.tolist() == [int(t in breakpoints) for t in distances]


# --- Any model -------------------------------------------------------------------------------


class Block(nn.Module):
    """A residual block whose one activation module is called twice, and changes its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.conv2(self.relu(self.bn(self.conv1(x)))))


def test_residual_convolutional_network():
    torch.manual_seed(1)
    block = Block(3).train()
    block.bn.running_mean.normal_()
    model = nn.Sequential(block, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4), nn.GELU())
    points, options = rows(6, 3, 4, 4), {"radius": 0.5, "n_directions": 9}
    found = local_complexity(model, points, **options)
    assert found.layer_names == ("0.relu", "0.relu", "4")
    assert found.layer_sizes == (48, 48, 4)
    copy = in_double(model)
    x = torch.from_numpy(corners_of(points, **options)).flatten(0, 1)
    with torch.no_grad():
        first = copy[0].bn(copy[0].conv1(x))
        second = x + copy[0].conv2(first.clamp(min=0))
        third = copy[1:4](second.clamp(min=0))
    np.testing.assert_array_equal(found.per_layer, by_definition([first, second, third], 6))
    assert found.per_layer.any(axis=0).all()


@pytest.mark.parametrize("activation", ["relu", "gelu", functional.silu, nn.ReLU()], ids=str)
def test_transformer_whose_mlps_call_functions(activation):
    # Its fast path, taken in evaluation mode, would call no activation function.
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation=activation, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    points, options = rows(4, 5, 8), {"radius": 0.2, "n_directions": 10}
    found = local_complexity(model, points, **options)
    assert found.layer_sizes == (5 * 16, 5 * 16)
    assert [name.split(".")[:2] for name in found.layer_names] == [["layers", "0"], ["layers", "1"]]
    copy, seen = in_double(model), []
    for block in copy.layers:
        block.linear1.register_forward_hook(lambda module, args, output: seen.append(output))
    copy(torch.from_numpy(corners_of(points, **options)).flatten(0, 1))
    expected = by_definition([z.detach() for z in seen], 4)
    np.testing.assert_array_equal(found.per_layer, expected)
    assert expected.any()


@pytest.mark.parametrize(
    "model",
    [
        default_mlp(6, 9, 9, 2),
        Apply(lambda x: functional.hardtanh(functional.relu(x) @ torch.eye(6).double() - 0.5)),
        nn.Sequential(
            nn.Linear(6, 4), nn.ReLU6(), nn.Sequential(nn.Linear(4, 4), nn.Hardsigmoid())
        ),
        nn.Sequential(nn.PReLU(), nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Softshrink(0.25)),
    ],
    ids=["mlp", "functions", "nested", "batch norm"],
)
def test_layers_are_those_of_the_program(model):
    program = convert(model, (6,))
    points, options = 2 * rows(25, 6), {"radius": 0.5, "n_directions": 6}
    found = local_complexity(model, points, **options)
    steps = program.piecewise_steps
    assert found.layer_names == tuple(step.name for step in steps)
    assert found.layer_sizes == tuple(step.n_units for step in steps)
    corners = torch.from_numpy(corners_of(points, **options)).flatten(0, 1)
    for i, (step, z) in enumerate(zip(steps, program.preactivations(corners), strict=True)):
        sides = [z - t for t in step.per_unit(step.breakpoints)]
        changed = [[side[k : k + 12] for side in sides] for k in range(0, 300, 12)]
        expected = [
            torch.stack([(s.sign() != s.sign()[0]).any(dim=0) for s in per_point]).any(dim=0).sum()
            for per_point in changed
        ]
        assert found.per_layer[:, i].tolist() == expected


# --- Chosen layers ---------------------------------------------------------------------------


class Swish(nn.Module):
    """An activation that is not torch's, and changes its input."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(torch.sigmoid(x))


class Wrapped(nn.Module):
    """A module without submodules that calls a known function on something else."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x - 100)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (None, ("0.relu", "0.relu", "2")),
        (["2"], ("2",)),
        (["0"], ("0.relu", "0.relu")),
        (["0.relu"], ("0.relu", "0.relu")),
        ([nn.ReLU], ("0.relu", "0.relu")),
        ([Block, nn.GELU], ("0.relu", "0.relu", "2")),
        ([nn.Module], ("0.relu", "0.relu", "2", "3")),
        ([Swish], ("3",)),
        (["3", "2"], ("2", "3")),
    ],
    ids=str,
)
def test_layers_are_chosen_by_path_or_type(layers, expected):
    model = nn.Sequential(Block(2), nn.Flatten(), nn.GELU(), Swish())
    found = local_complexity(model, rows(2, 2, 3, 3), radius=0.1, n_directions=2, layers=layers)
    assert found.layer_names == expected


def test_functions_are_chosen_by_the_name_of_their_layer():
    model = Apply(lambda x: functional.gelu(functional.relu(x)))
    found = local_complexity(model, rows(1, 3), radius=1, n_directions=2, layers=["gelu"])
    assert found.layer_names == ("gelu",)


def test_chosen_activation_of_unknown_kind_counts_by_the_sign_of_its_input():
    model = default_mlp(6, 5, 2)
    points, options = rows(30, 6), {"radius": 0.5, "n_directions": 6}
    expected = local_complexity(model, points, **options)
    model[1] = Swish()
    found = local_complexity(model, points, **options, layers=[Swish])
    np.testing.assert_array_equal(found.per_layer, expected.per_layer)
    alone = local_complexity(Swish(), [[0.0], [2.0]], radius=1, n_directions=1, layers=[Swish])
    assert (alone.layer_names, alone.total.tolist()) == (("Swish",), [1, 0])


def test_known_function_inside_a_chosen_module_counts_rather_than_the_module():
    found = local_complexity(
        Wrapped(), [[100.0], [0.0]], radius=1, n_directions=1, layers=[Wrapped]
    )
    assert (found.layer_names, found.total.tolist()) == (("relu",), [1, 0])


@pytest.mark.parametrize("layers", [["1.relu"], ["0", "absent"], [nn.Linear], [nn.SiLU, nn.ReLU]])
def test_chosen_modules_that_call_no_activation_are_refused(layers):
    model = nn.Sequential(nn.ReLU(), nn.Linear(3, 3))
    with pytest.raises(InvalidArgumentError, match="which is no module of the model's forward"):
        local_complexity(model, rows(1, 3), radius=1, n_directions=1, layers=layers)


# --- Against exact partitions ----------------------------------------------------------------

GRID = np.stack(np.meshgrid(*2 * [np.linspace(-0.9, 0.9, 12)]), axis=-1).reshape(-1, 2)


def test_units_of_one_layer_that_count_are_those_that_cut_the_cross_polytope():
    model = default_mlp(2, 60, 1)
    for radius in (0.05, 0.3):
        options = {"radius": radius, "n_directions": 2}
        total = local_complexity(model, GRID, **options).total
        for found, corners in zip(total, corners_of(GRID, **options), strict=True):
            polygon = corners[[0, 1, 2, 3]]
            p = compute_partition(model, Slice(np.zeros(2), np.eye(2), polygon))
            assert found == len(set(p.edge_units[p.edge_units >= 0].tolist()))


def test_where_discs_are_cut_at_most_once_the_deep_count_is_that_of_regions():
    # The cross-polytope lies between discs of radius r / √2 and r.
    model = default_mlp(2, 20, 20, 20, 1)
    p = compute_partition(model, Slice.box((-1, 1), (-1, 1)))
    for radius in (0.002, 0.02):
        total = local_complexity(model, GRID, radius=radius, n_directions=2).total
        outer = region_count(p, GRID, radius=radius)
        inner = region_count(p, GRID, radius=radius / np.sqrt(2))
        assert (outer == 1).any()
        assert (total[outer == 1] == 0).all()
        assert (total[(inner == 2) & (outer == 2)] == 1).all()
    assert ((inner == 2) & (outer == 2)).any()


def test_follows_the_number_of_regions_of_a_deep_network():
    model = default_mlp(2, 40, 40, 40, 1)
    p = compute_partition(model, Slice.box((-4, 4), (-4, 4)))
    grid = 4 * GRID
    total = local_complexity(model, grid, radius=0.3, n_directions=2).total
    assert spearmanr(total, region_count(p, grid, radius=0.3)).statistic > 0.9


# --- What it leaves alone --------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_does_not_depend_on_the_batch_size(batch_size):
    model, points = default_mlp(30, 50, 50, 2), rows(40, 30)
    options = {"radius": 0.3, "n_directions": 11}
    expected = local_complexity(model, points, **options)
    found = local_complexity(model, points, **options, batch_size=batch_size)
    np.testing.assert_array_equal(found.per_layer, expected.per_layer)


def test_leaves_the_model_and_the_random_state_alone():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.RReLU()).train()
    calls = []
    model[0].register_forward_hook(lambda *args: calls.append(args))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.get_rng_state()
    local_complexity(model, rows(3, 4), radius=1, n_directions=2)
    assert all(module.training for module in model.modules())
    assert not calls
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name])
        assert tensor.dtype == state[name].dtype
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(not m._forward_pre_hooks for m in model.modules())
    assert torch.is_grad_enabled()
    local_complexity(model, rows(3, 4), radius=1, n_directions=2)


def test_works_in_inference_mode_and_on_tensors_that_need_gradients():
    model, points = default_mlp(4, 9, 1), torch.from_numpy(rows(5, 4)).float()
    expected = local_complexity(model, points, radius=1, n_directions=4).total
    with torch.inference_mode():
        found = local_complexity(
            nn.Sequential(nn.Identity(), model), points, radius=1, n_directions=4
        )
    np.testing.assert_array_equal(found.total, expected)
    points.requires_grad_()
    found = local_complexity(model, points, radius=1, n_directions=4, device="cpu")
    np.testing.assert_array_equal(found.total, expected)


def test_result_shows_what_it_is():
    per_unit = (np.array([0, 0, 1, 0]), np.array([2, 0, 0, 1, 1, 1]))
    found = LocalComplexity(np.array([[1, 2], [0, 3]]), per_unit, ("a", "b"), (4, 6))
    assert repr(found) == "<LocalComplexity: 3 of 10 units in the mean of 2 points; layers: 2>"
    with pytest.raises(ValueError, match="read-only"):
        found.per_layer[0, 0] = 1


# --- Refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": 0}, "radius is 0; accepted: a number >= 1e-150"),
        ({"radius": -1.0}, r"radius is -1\.0"),
        ({"radius": np.nan}, "radius holds nan"),
        ({"radius": [1, 2]}, r"radius has shape \(2,\)"),
        ({"n_directions": 0}, "n_directions is 0; accepted: an integer from 1 to 4"),
        ({"n_directions": 5}, "n_directions is 5; accepted: an integer from 1 to 4"),
        ({"n_directions": 2.0}, r"n_directions is 2\.0"),
        ({"seed": -1}, "seed is -1; accepted: an integer >= 0"),
        ({"batch_size": 0}, "batch_size is 0; accepted: an integer >= 1"),
        ({"points": np.zeros(4)}, r"points has shape \(4,\); accepted: \(n, \*input_shape\)"),
        ({"points": np.zeros((0, 4))}, r"points has shape \(0, 4\)"),
        ({"points": [[0, 0, 0, np.inf]]}, "points holds inf"),
        ({"points": [["a", "b"]]}, "points has dtype"),
        ({"layers": []}, r"layers is \[\]; accepted: a list of paths and types of modules"),
        ({"layers": "1"}, "layers is '1'"),
        ({"layers": nn.ReLU}, "layers is <class"),
        ({"layers": [3]}, "layers holds 3; accepted: paths of modules and types of modules"),
        ({"layers": [nn.ReLU()]}, r"layers holds ReLU\(\)"),
        ({"layers": [int]}, "layers holds <class 'int'>"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(options, message):
    arguments = {"points": rows(2, 4), "radius": 1, "n_directions": 2, **options}
    with pytest.raises(InvalidArgumentError, match=message):
        local_complexity(default_mlp(4, 4, 1), **arguments)


class Branching(nn.Module):
    """Calls what depends on the values of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x) if x.sum() > 0 else functional.gelu(x)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (nn.Linear(2, 2), UnsupportedLayerError, r"calls no activation function .*\(relu, leaky"),
        (Apply(torch.sin), UnsupportedLayerError, "no activation function"),
        (
            nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False), nn.ReLU()),
            UnsupportedLayerError,
            r"'0' \(BatchNorm1d\) normalises with the statistics of its batch",
        ),
        (
            Apply(lambda x: functional.batch_norm(x, None, None, None, None, True).relu()),
            UnsupportedLayerError,
            r"the model \(Apply\) normalises with the statistics",
        ),
        (
            Apply(lambda x: functional.relu(functional.dropout(x))),
            UnsupportedLayerError,
            "draws random numbers",
        ),
        (
            nn.Sequential(Apply(lambda x: x.T), nn.ReLU()),
            UnsupportedLayerError,
            r"'1' \(ReLU\) acts on a tensor of shape \(2, 8\), in a batch of 8 inputs",
        ),
        (Branching(), UnsupportedLayerError, "other activations for other points"),
        (nn.Linear(3, 2), InvalidModelError, r"\(Linear\) fails on a batch of inputs of shape"),
        (
            nn.Sequential(nn.ReLU(), nn.Linear(3, 2)),
            InvalidModelError,
            r"'1' \(Linear\) fails on a batch of inputs of shape \(2,\): RuntimeError",
        ),
        (
            nn.Sequential(Apply(lambda x: x / 0), nn.ReLU()),
            InvalidModelError,
            r"'1' \(ReLU\) gets pre-activations that are not finite",
        ),
        (functional.relu, InvalidModelError, "model has to be an nn.Module, got function"),
    ],
)
def test_models_that_cannot_be_counted_are_refused(
    model: nn.Module | Callable, error: type[Exception], message: str
):
    points = np.array([[1.0, 1.0], [-1.0, -1.0]])
    options = {"radius": 0.5, "n_directions": 2}
    options["batch_size"] = 1 if isinstance(model, Branching) else 2
    random_state = torch.get_rng_state()
    with pytest.raises(error, match=message):
        local_complexity(model, points, **options)  # pyright: ignore[reportArgumentType]
    assert torch.equal(torch.get_rng_state(), random_state)


def test_weights_that_are_not_finite_are_refused():
    model = default_mlp(2, 3, 1)
    with torch.no_grad():
        model[0].bias[1] = torch.nan
    with pytest.raises(InvalidModelError, match=r"parameter '0\.bias' holds NaN"):
        local_complexity(model, np.zeros((1, 2)), radius=1, n_directions=2)
