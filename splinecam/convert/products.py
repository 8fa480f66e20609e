"""Handlers of products with constant matrices and tensors.

Parameters of the handlers have the names of torch's own, since models may pass them by keyword.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from splinecam.convert.affine import PRODUCT
from splinecam.convert.calls import Call
from splinecam.convert.table import named
from splinecam.convert.traced import TracedTensor, without_dispatch
from splinecam.linear import Applied, MatMul, Reshape


def _linear(call: Call, input: Any, weight: Any, bias: Any = None) -> int:
    if not isinstance(input, TracedTensor):
        raise call.refusal("linear has weights that depend on the input")
    matrix = call.constant(weight)
    if matrix.ndim != 2:
        raise call.refusal(
            f"linear has a constant of shape {tuple(matrix.shape)}; a matrix is accepted"
        )
    offset = None if bias is None else call.constant(bias).expand(len(matrix))
    return _multiply(call, matrix, offset)


def _addmm(
    call: Call, input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1
) -> int:
    if not isinstance(mat1, TracedTensor) or len(call.traced) > 1:
        raise call.refusal("addmm is accepted with a value of the network as its first matrix only")
    offset = (beta * call.constant(input)).expand(mat1.shape[0], -1)
    return _multiply(call, alpha * call.constant(mat2).T, call.entrywise(offset))


def _matmul(call: Call, input: Any, other: Any) -> int:
    if len(call.traced) > 1:
        raise call.refusal(PRODUCT)
    if not isinstance(input, TracedTensor):
        return _multiply_from_left(call, _factor(call, input))
    constant = _factor(call, other)
    if constant.ndim == 2:
        return _multiply(call, constant.T)
    if constant.ndim == 1:
        return _multiply(call, constant[None], drops=True)
    if len(call.input_shape) < 2:
        raise call.mixing
    return call.affine(Applied(torch.matmul, (call.finite(constant),), constant.shape[-2]))


def _factor(call: Call, value: Any) -> Tensor:
    """A constant vector, matrix, or batch of matrices."""
    constant = call.constant(value)
    return constant if constant.ndim < 3 else call.entrywise(constant)


def _rmatmul(call: Call, input: Any, other: Any) -> int:
    return _matmul(call, other, input)


def _multiply(
    call: Call, weight: Tensor, offset: Tensor | None = None, *, drops: bool = False
) -> int:
    """Multiply the last dimension by a matrix (d, k), and drop it where d is 1 on request."""
    if call.input_shape[-1:] != weight.shape[1:]:
        raise call.misfit(f"(…, {weight.shape[-1]})")
    outer = call.input_shape[:-1]
    call.makes(outer if drops else (*outer, len(weight)))
    value = call.affine(MatMul(call.finite(weight)), offset, shape=(*outer, len(weight)))
    return call.affine(Reshape(outer), inputs=(value,)) if drops else value


def _multiply_from_left(call: Call, constant: Tensor) -> int:
    if len(call.input_shape) < 2:
        if call.recording.n_batch_dims or constant.ndim > 2:
            raise call.mixing
        return _multiply(call, torch.atleast_2d(constant), drops=constant.ndim == 1)
    shape, n_terms = call.output_shape, constant.shape[-1]
    matrix = call.finite(torch.atleast_2d(constant))
    made = (*shape[:-1], 1, *shape[-1:]) if constant.ndim == 1 else shape
    value = call.affine(Applied(times_on_the_left, (matrix,), n_terms), shape=made)
    return value if made == shape else call.affine(Reshape(shape), inputs=(value,))


def times_on_the_left(x: Tensor, matrix: Tensor) -> Tensor:
    """The product ``matrix @ x``."""
    return matrix @ x


def _einsum(call: Call, equation: Any, *operands: Any) -> int:
    if len(call.traced) > 1:
        raise call.refusal(PRODUCT)
    if not isinstance(equation, str):
        raise call.refusal("einsum is accepted with an equation only")
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    (place,) = (i for i, x in enumerate(operands) if isinstance(x, TracedTensor))
    with without_dispatch():
        shapes = [tuple(x.shape) for x in operands]
    terms, result = _subscripts(equation, [len(shape) for shape in shapes])
    sizes = {
        letter: size
        for term, shape in zip(terms, shapes, strict=True)
        for letter, size in zip(term, shape, strict=True)
    }
    term = terms.pop(place)
    if call.recording.n_batch_dims:
        if term[:1] != result[:1] or term[:1] in "".join((*terms, term[1:])):
            raise call.mixing
    else:
        free = next(letter for letter in _LETTERS if letter not in sizes)
        term, result = free + term, free + result
    function = partial(torch.einsum, f"{','.join([term, *terms])}->{result}")
    constants = (call.finite(call.constant(x)) for i, x in enumerate(operands) if i != place)
    n_terms = prod(size for letter, size in sizes.items() if letter not in result)
    return call.affine(Applied(function, tuple(constants), n_terms + len(terms)))


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _subscripts(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """Letters of the operands and of the result, with the dots written out."""
    inputs, arrow, result = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if not arrow:
        letters = sorted(set(inputs) - set(",."))
        result = "..." * ("..." in inputs) + "".join(a for a in letters if inputs.count(a) == 1)
    free = [letter for letter in _LETTERS if letter not in inputs]
    widths = [rank - len(term) + 3 for term, rank in zip(terms, ranks, strict=True)]
    dots = free[: max((w for t, w in zip(terms, widths, strict=True) if "..." in t), default=0)]
    written = [
        term.replace("...", "".join(dots[len(dots) - width :]))
        for term, width in zip(terms, widths, strict=True)
    ]
    return written, result.replace("...", "".join(dots))


HANDLERS = named(
    {
        _linear: "linear",
        _addmm: "addmm",
        _matmul: "matmul mm bmm mv __matmul__",
        _rmatmul: "__rmatmul__",
        _einsum: "einsum",
    }
)
