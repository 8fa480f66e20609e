"""`restrict`: the network on a slice is the program at the slice's points."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from comparison import default_mlp
from splinecam import InvalidSliceError, Slice
from splinecam.convert import convert
from splinecam.network.planar import PlanarNetwork
from splinecam.network.restrict import restrict

BOX = Slice.box((-1, 1), (-1, 1))


def restricted(model: nn.Module, slice_: Slice) -> PlanarNetwork:
    """Restrict a model, and check it against the model at points of the slice."""
    network = restrict(convert(model, slice_.input_shape), slice_)
    network.check_shapes()
    uv = np.random.default_rng(0).normal(size=(50, 2))
    reference = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        expected = reference(torch.from_numpy(slice_.embed(uv))).flatten(1).numpy()
    np.testing.assert_allclose(network(uv), expected, rtol=1e-12, atol=1e-13)
    return network


def test_weights_are_taken_exactly():
    model = default_mlp(2, 7, 5, 3)
    network = restricted(model, BOX)
    weights = [*(layer.weight for layer in network.layers), network.weight]
    biases = [*(layer.bias for layer in network.layers), network.bias]
    linears = [module for module in model if isinstance(module, nn.Linear)]
    for linear, weight, bias in zip(linears, weights, biases, strict=True):
        np.testing.assert_array_equal(weight, linear.weight.detach().double().numpy())
        np.testing.assert_array_equal(bias, linear.bias.detach().double().numpy())
    assert [layer.name for layer in network.layers] == ["1", "3"]


def test_affine_steps_are_composed():
    hidden = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6))
    model = nn.Sequential(hidden, nn.ReLU(), nn.Linear(6, 5, bias=False), nn.Linear(5, 2)).eval()
    slice_ = Slice.through(np.random.default_rng(1).normal(size=(3, 3)))
    network = restricted(model, slice_)
    assert network.units.sizes == (6,)
    assert network.weight.shape == (2, 6)


def test_activations_that_follow_each_other_are_layers_of_their_own():
    network = restricted(nn.Sequential(nn.Hardtanh(), nn.ReLU(), nn.ReLU6()), BOX)
    assert network.units.sizes == (2, 2, 2)
    assert [layer.n_breakpoints for layer in network.layers] == [2, 1, 2]
    for weight in (*(layer.weight for layer in network.layers), network.weight):
        np.testing.assert_array_equal(weight, np.eye(2))


def test_inputs_of_any_shape():
    slice_ = Slice.through(np.random.default_rng(2).normal(size=(2, 2, 3)))
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    network = restricted(model, slice_)
    assert network.layers[0].weight.shape == (8, 2)
    assert restricted(nn.Sequential(nn.ReLU()), slice_).n_outputs == 6


def test_tables_are_shared_or_one_for_each_unit():
    prelu = nn.PReLU(3)
    with torch.no_grad():
        prelu.weight.copy_(torch.tensor([0.5, -1.0, 0.25]))
    model = nn.Sequential(nn.Linear(2, 3), prelu, nn.Linear(3, 3), nn.Hardtanh(-2, 0.5))
    first, second = restricted(model, BOX).layers
    np.testing.assert_array_equal(first.slopes, [[0.5, 1], [-1, 1], [0.25, 1]])
    np.testing.assert_array_equal(second.breakpoints, [[-2, 0.5]])
    np.testing.assert_array_equal(second.slopes, [[0, 1, 0]])
    np.testing.assert_array_equal(second.anchors, [-2])


def test_model_without_activations():
    network = restricted(nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 3)), BOX)
    assert network.layers == ()
    assert network.weight.shape == (3, 2)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (1, 6)])
def test_refuses_a_slice_of_other_inputs(shape):
    program = convert(nn.Sequential(nn.ReLU()), (6,))
    slice_ = Slice.through(np.random.default_rng(0).normal(size=(1, *shape)))
    message = f"slice: its points have shape {shape}, the model takes inputs of shape (6,)"
    with pytest.raises(InvalidSliceError) as caught:
        restrict(program, slice_)
    assert str(caught.value) == message
