"""The linear maps of affine steps: batches, magnitudes and coefficients say the same."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

import splinecam.linear
from splinecam.linear import (
    Applied,
    Convolution,
    Gather,
    LinearMap,
    MatMul,
    Reshape,
    Scale,
    Sum,
    flat,
)


def tensor(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


CONVOLUTION = Applied(partial(F.conv2d, stride=2, padding=1), (random(4, 2, 3, 3),), n_terms=18)
AVERAGE = Applied(partial(F.avg_pool1d, kernel_size=3, padding=1), (), n_terms=5)

MAPS = [
    pytest.param(MatMul(random(5, 4)), [(4,)], id="MatMul"),
    pytest.param(MatMul(random(5, 4)), [(2, 3, 4)], id="MatMul of many"),
    pytest.param(Scale(random(4)), [(3, 4)], id="Scale"),
    pytest.param(Scale(random(2, 3, 1)), [(1, 3, 4)], id="Scale to a larger shape"),
    pytest.param(Scale(tensor(-2.0)[0]), [()], id="Scale of scalars"),
    pytest.param(Reshape((3, 4)), [(2, 6)], id="Reshape"),
    pytest.param(Sum((1.0, -2.0, 1.0)), [(2, 3), (2, 3), (2, 3)], id="Sum"),
    pytest.param(Sum((0.5, 1.0)), [(2, 1), (1, 3)], id="Sum of broadcast values"),
    pytest.param(Convolution(random(4, 2, 3), (1,), (0,), (2,)), [(2, 8)], id="Convolution 1-d"),
    pytest.param(
        Convolution(random(6, 2, 3, 2), (2, 1), (1, 2), (1, 2), 2), [(4, 5, 4)], id="Convolution"
    ),
    pytest.param(
        Convolution(random(2, 1, 1, 2, 2), (1, 1, 2), (0, 1, 0), (1, 1, 1)),
        [(1, 3, 2, 4)],
        id="Convolution 3-d",
    ),
    pytest.param(Gather(torch.tensor([[3, 0], [-1, 3], [1, -1]])), [(2, 2)], id="Gather"),
    pytest.param(Gather(torch.tensor([6, 2, 0, 3])), [(3,), (2, 2)], id="Gather of two values"),
    pytest.param(CONVOLUTION, [(2, 5, 4)], id="convolution"),
    pytest.param(AVERAGE, [(2, 7)], id="average"),
]


@pytest.mark.parametrize(("linear", "shapes"), MAPS)
def test_rows_are_the_coefficients(linear: LinearMap, shapes: list[tuple[int, ...]]) -> None:
    xs = [random(6, *shape) for shape in shapes]
    y = linear(*xs)
    assert y.dtype == torch.float64
    units = np.random.default_rng(0).permutation(y[0].numel())
    rows = linear.rows(units, *shapes)
    assert [r.shape for r in rows] == [(len(units), x[0].numel()) for x in xs]
    sums = [flat(x).numpy() @ r.T for x, r in zip(xs, rows, strict=True)]
    np.testing.assert_allclose(sum(sums), flat(y).numpy()[:, units], rtol=1e-13, atol=1e-14)
    assert all((r.data != 0).all() for r in rows)
    for mine, theirs in zip(linear.magnitudes().rows(units, *shapes), rows, strict=True):
        assert (mine != abs(theirs)).nnz == 0


@pytest.mark.parametrize(("linear", "shapes"), MAPS)
def test_rows_of_no_units(linear: LinearMap, shapes: list[tuple[int, ...]]) -> None:
    rows = linear.rows(np.zeros(0, dtype=np.int64), *shapes)
    assert [r.shape for r in rows] == [(0, int(np.prod(shape))) for shape in shapes]


@pytest.mark.parametrize(("linear", "shapes"), MAPS)
def test_map_can_be_sent_to_another_process(
    linear: LinearMap, shapes: list[tuple[int, ...]]
) -> None:
    xs = [random(2, *shape) for shape in shapes]
    assert torch.equal(pickle.loads(pickle.dumps(linear))(*xs), linear(*xs))


def test_each_coefficient_of_a_convolution_is_one_stored_weight() -> None:
    (rows,) = CONVOLUTION.rows(np.arange(4 * 3 * 2), (2, 5, 4))
    assert set(rows.data.tolist()) <= set(CONVOLUTION.weights[0].flatten().tolist())
    assert rows.nnz == (4 * 2) * (2 + 3 + 2) * (2 + 3)  # rows and columns that the kernel covers


def test_average_divides_one_by_the_window() -> None:
    (rows,) = AVERAGE.rows(np.arange(3), (1, 7))
    assert set(rows.data.tolist()) == {1 / 3}


def test_rows_do_not_depend_on_how_many_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    units = np.arange(24)[::-1].copy()
    (whole,) = CONVOLUTION.rows(units, (2, 5, 4))
    monkeypatch.setattr(splinecam.linear, "_ENTRIES_AT_ONCE", 200)
    (pieces,) = CONVOLUTION.rows(units, (2, 5, 4))
    assert (whole != pieces).nnz == 0


def test_rows_can_be_read_without_gradients_enabled() -> None:
    with torch.inference_mode():
        (rows,) = AVERAGE.rows(np.array([0]), (1, 7))
    assert rows.nnz == 2


def test_argument_that_an_entry_does_not_read_has_an_empty_row() -> None:
    def second(x: Tensor, y: Tensor) -> Tensor:
        return y

    rows = Applied(second, (), 0).rows(np.array([1]), (3,), (2,))
    assert [r.toarray().tolist() for r in rows] == [[[0, 0, 0]], [[0, 1]]]


def test_windows_say_what_a_convolution_does() -> None:
    convolution = Convolution(random(6, 2, 3, 2), (2, 1), (1, 2), (1, 2), groups=2)
    x = random(1, 4, 5, 4)
    windows, places = convolution.windows((4, 5, 4))
    entries = np.append(x.flatten().numpy(), 0.0)[windows]  # -1 is the zero at the end
    products = entries @ convolution.weight.reshape(6, -1).numpy().T
    np.testing.assert_allclose(products[*places.T], flat(convolution(x))[0], rtol=1e-12)
