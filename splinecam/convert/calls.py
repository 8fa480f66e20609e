"""One call of a torch function in a forward pass, as the handlers of `convert` see it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from splinecam.convert.sites import Site
from splinecam.convert.traced import BATCH, TracedTensor, without_dispatch
from splinecam.errors import InvalidModelError, UnsupportedLayerError
from splinecam.program import Affine, LinearMap, PiecewiseLinear, Step

Handler = Callable[..., Step | None]
"""Takes the `Call` and the function's own arguments; None where the value passes unchanged."""

ALIASES = frozenset(
    {
        Tensor.bfloat16,
        Tensor.cpu,
        Tensor.cuda,
        Tensor.data.__get__,  # pyright: ignore[reportAttributeAccessIssue]
        Tensor.double,
        Tensor.float,
        Tensor.half,
        Tensor.to,
        Tensor.type,
        Tensor.type_as,
    }
)
"""Conversions of dtype and device do nothing here, since all arithmetic is in float64. Whether
they copy depends on the user's dtype: an alias keeps in-place changes of either side noticed."""


_signature = cache(inspect.signature)


class Call:
    """A call of a torch function with at least one value of the network among its arguments.

    Parameters
    ----------
    function : callable
        The torch function or tensor method.
    args, kwargs
        Its arguments as the model gave them: traced tensors, constant tensors, numbers.
    site : Site
        Where in the model it is called.
    input_shape : tuple of int
        The model's input shape, for messages.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        site: Site,
        input_shape: tuple[int, ...],
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.site, self._model_shape = site, input_shape
        self._in_place = False
        self.traced = [t for t in tree_leaves((args, kwargs)) if isinstance(t, TracedTensor)]

    @property
    def operation(self) -> str:
        """The function's plain name: ``relu`` for ``F.relu``, ``torch.relu_`` and ``x.relu()``."""
        name = getattr(self.function, "__name__", type(self.function).__name__)
        if name == "__get__":  # of a property
            name = self.function.__self__.__name__  # pyright: ignore[reportFunctionMemberAccess]
        return name.strip("_")

    @cached_property
    def result(self) -> Any:
        """What the function returns, by torch on the meta device: shapes and aliases."""
        if self.function in ALIASES:
            with without_dispatch():
                return self.traced[0].detach()
        constants: list[Tensor] = []

        def to_meta(tensor: Tensor) -> Tensor:
            if isinstance(tensor, TracedTensor):
                return tensor
            constants.append(torch.empty_like(tensor, device="meta"))
            return constants[-1]

        with without_dispatch():
            args, kwargs = tree_map_only(Tensor, to_meta, (self.args, dict(self.kwargs)))
            result = self.function(*args, **kwargs)
            if any(constant._version for constant in constants):
                raise self.refusal("writes values of the network into a constant tensor in place")
        return result

    def handled_by(self, handler: Handler) -> Step | None:
        """The step that `handler` makes of this call."""
        try:
            bound = _signature(handler).bind(self, *self.args, **self.kwargs)
        except TypeError as error:
            raise self.refusal(
                f"{self.operation} is called in a way that is not supported: {error}"
            ) from error
        may_write = self.function.__name__.endswith("_")
        self._in_place = may_write or bound.arguments.get("inplace", False)
        return handler(*bound.args, **bound.kwargs)

    def makes(self, shape: tuple[int, ...]) -> None:
        """Spare torch, whose meta functions are slow, a result that is known to be a new tensor."""
        self.result = torch.empty(BATCH, *shape, dtype=torch.float64, device="meta")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the value that goes in, without the batch dimension."""
        with without_dispatch():
            return tuple(self.traced[0].shape[1:])

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the value that comes out, without the batch dimension."""
        with without_dispatch():
            shape = tuple(self.result.shape)
        if shape[:1] != (BATCH,):
            raise self.refusal("mixes the batch dimension, which comes first, with the features")
        return shape[1:]

    def affine(self, linear: LinearMap, offset: Tensor | None = None) -> Affine:
        """The step ``linear(x) + offset``."""
        if offset is not None:
            offset = self.finite(offset)
        return Affine(self._name, self._inputs, self.output_shape, linear, offset)

    def piecewise(
        self,
        breakpoints: Sequence[Tensor | float],
        slopes: Sequence[Tensor | float],
        anchor: Tensor | float,
    ) -> PiecewiseLinear:
        """The step that applies one function to all units, or one each where tensors are given."""
        rows = [torch.as_tensor(v, dtype=torch.float64) for v in (*breakpoints, *slopes, anchor)]
        if not self._in_place and not any(row.ndim for row in rows):
            self.makes(self.input_shape)
        if self.output_shape != self.input_shape:
            raise self.refusal("has constants of a larger shape than the value it is applied to")
        table = self.finite(torch.stack(torch.broadcast_tensors(*rows)))
        t, s, f = table.split([len(breakpoints), len(slopes), 1])
        return PiecewiseLinear(self._name, self._inputs, self.output_shape, t, s, f[0])

    def constant(self, value: Any) -> Tensor:
        """A number or tensor that does not depend on the input, in float64."""
        if isinstance(value, TracedTensor):
            raise self.refusal(
                f"{self.operation} takes a value of the network where only a "
                "constant keeps it piecewise linear"
            )
        if isinstance(value, Real):
            value = torch.tensor(float(value), dtype=torch.float64)
        if not isinstance(value, Tensor) or value.is_complex():
            kind = getattr(value, "dtype", type(value).__name__)
            raise self.refusal(
                f"{self.operation} has a constant of type {kind}; real numbers and "
                "tensors are accepted"
            )
        if value.is_meta:
            raise self.refusal(
                f"{self.operation} has an argument without data (a meta tensor, or "
                "the result of something that cannot be followed)"
            )
        constant = value.detach().to("cpu", torch.float64)
        if constant.isnan().any():
            raise InvalidModelError(f"{self.site}: {self.operation} has a constant that is NaN")
        return constant

    def entrywise(self, value: Any) -> Tensor:
        """A constant to combine with every batch entry, without a batch dimension of its own."""
        constant = self.constant(value)
        rank = len(self.input_shape) + 1
        if constant.ndim < rank:
            return constant
        if constant.ndim > rank or not (constant == constant[:1]).all():
            raise self.refusal(
                f"{self.operation} has a constant of shape {tuple(value.shape)}, "
                "which differs from one entry of the batch to another"
            )
        return constant[0]

    def finite(self, coefficients: Tensor) -> Tensor:
        """The coefficients, once they are known to be finite."""
        if not coefficients.isfinite().all():
            raise InvalidModelError(
                f"{self.site}: the coefficients of {self.operation} are not finite in float64"
            )
        return coefficients

    def refusal(self, why: str) -> UnsupportedLayerError:
        """The error that says why this call cannot be a part of the program."""
        return UnsupportedLayerError(f"{self.site}: {why}")

    def misfit(self, expected: str) -> InvalidModelError:
        """The error that says that the value has a wrong shape."""
        return InvalidModelError(
            f"{self.site} expects values of shape {expected}, the value has shape "
            f"{self.input_shape}; the model was given inputs of shape {self._model_shape}"
        )

    @property
    def _name(self) -> str:
        return self.site.step_name(self.operation)

    @property
    def _inputs(self) -> tuple[int, ...]:
        return tuple(t.value for t in self.traced)
