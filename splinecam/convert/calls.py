"""One call of a torch function in a forward pass, as the handlers of `convert` see it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from splinecam.convert.sites import Site
from splinecam.convert.traced import Recording, Standing, TracedTensor, without_dispatch
from splinecam.errors import InvalidModelError, UnsupportedLayerError
from splinecam.linear import Applied, LinearMap, Reshape, Shape
from splinecam.program import Affine, MaxGroups, PiecewiseLinear

Outcome = int | Standing
Handler = Callable[..., Outcome | Sequence[Outcome]]
"""Takes the `Call` and the function's own arguments, and records the steps that they come to. It
returns the value that the result is, or one for each tensor of the result."""


class UnfollowableError(UnsupportedLayerError):
    """The forward pass does what following it cannot see, but `torch.export` perhaps can."""


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
    recording : Recording
        Takes the steps.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        site: Site,
        recording: Recording,
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.site, self.recording = site, recording
        self._in_place = False
        self.traced = [t for t in tree_leaves((args, kwargs)) if isinstance(t, TracedTensor)]

    @property
    def operation(self) -> str:
        """The function's plain name: ``relu`` for ``F.relu``, ``torch.relu_`` and ``x.relu()``."""
        name = getattr(self.function, "__name__", type(self.function).__name__)
        if name == "__get__":  # of a property
            name = self.function.__self__.__name__  # pyright: ignore[reportFunctionMemberAccess]
        return name.partition(".")[0].strip("_")

    @cached_property
    def result(self) -> Any:
        """What the function returns, by torch on the meta device: shapes and aliases."""
        if self.function in ALIASES:
            with without_dispatch():
                return self.traced[0].detach()
        constants: list[Tensor] = []

        def to_meta(tensor: Tensor) -> Tensor:
            if isinstance(tensor, TracedTensor) or self.function is Tensor.__getitem__:
                return tensor  # masks select as many entries as they hold
            if _is_integer(tensor):
                return tensor  # torch reads it where it takes a number, such as `dim`
            constants.append(torch.empty_like(tensor, device="meta"))
            return constants[-1]

        with without_dispatch():
            args, kwargs = tree_map_only(Tensor, to_meta, (self.args, dict(self.kwargs)))
            result = self.function(*args, **kwargs)
            if any(constant._version for constant in constants):
                raise self.unfollowable(
                    "writes values of the network into a constant tensor in place"
                )
        return result

    def handled_by(self, handler: Handler) -> Sequence[Outcome]:
        """What `handler` makes of this call: an outcome for each tensor of the result."""
        try:
            bound = _signature(handler).bind(self, *self.args, **self.kwargs)
        except TypeError as error:
            raise self.refusal(
                f"{self.operation} is called in a way that is not supported: {error}"
            ) from error
        dim = bound.arguments.get("dim")
        if isinstance(dim, Tensor) and _is_integer(dim):
            bound.arguments["dim"] = int(dim)
        may_write = self.function.__name__.partition(".")[0].endswith("_")
        self._in_place = may_write or bound.arguments.get("inplace", False)
        outcome = handler(*bound.args, **bound.kwargs)
        return [outcome] if isinstance(outcome, Outcome) else outcome

    def makes(self, shape: Shape) -> None:
        """Spare torch, whose meta functions are slow, a result that is known to be a new tensor."""
        batch = (self.recording.batch,) * self.recording.n_batch_dims
        self.result = torch.empty(*batch, *shape, dtype=torch.float64, device="meta")

    @property
    def value(self) -> int:
        """The value that goes in, the first one if there are several."""
        return self.traced[0].standing.value

    @property
    def input_shape(self) -> Shape:
        """Shape of the value that goes in, without the batch dimension."""
        return self.recording.shape_of(self.value)

    @property
    def output_shape(self) -> Shape:
        """Shape of the value that comes out, the first one if there are several."""
        return self.output_shapes[0]

    @property
    def output_shapes(self) -> list[Shape]:
        """Shapes of the values that come out, without the batch dimension."""
        n_batch_dims = self.recording.n_batch_dims
        with without_dispatch():
            shapes = [tuple(leaf.shape) for leaf in tree_leaves(self.result)]
        if any(shape[:n_batch_dims] != (self.recording.batch,) * n_batch_dims for shape in shapes):
            raise self.mixing
        return [shape[n_batch_dims:] for shape in shapes]

    def dims(self, dims: int | Sequence[int] | None) -> tuple[int, ...]:
        """Dimensions of the value, from 0, that are meant by dimensions of the tensor."""
        n_batch_dims = self.recording.n_batch_dims
        rank = len(self.input_shape) + n_batch_dims
        given = range(rank) if dims is None else [dims] if isinstance(dims, int) else dims
        meant = [dim % rank - n_batch_dims for dim in given] if rank else []
        if min(meant, default=0) < 0:
            raise self.mixing
        return tuple(meant)

    def with_rank(self, traced: TracedTensor, rank: int) -> int:
        """The value of a tensor, as broadcasting sees it in the company of another rank."""
        value = traced.standing.value
        shape = self.recording.shape_of(value)
        if rank <= len(shape):
            return value
        if self.recording.n_batch_dims:
            raise self.mixing
        shape = (1,) * (rank - len(shape)) + shape
        return self.affine(Reshape(shape), inputs=(value,), shape=shape)

    def affine(
        self,
        linear: LinearMap,
        offset: Tensor | None = None,
        *,
        inputs: tuple[int, ...] | None = None,
        shape: Shape | None = None,
    ) -> int:
        """Record the step ``linear(x, …) + offset``; by default of the first value that goes in."""
        if offset is not None:
            offset = self.finite(offset)
        inputs = (self.value,) if inputs is None else inputs
        shape = self.output_shape if shape is None else shape
        return self.recording.add(Affine(self._name, inputs, shape, linear, offset))

    def applied(
        self,
        function: Callable[..., Tensor],
        *options: Any,
        weights: tuple[Tensor, ...] = (),
        offset: Tensor | None = None,
        n_terms: int,
        n_dims: int,
        **named: Any,
    ) -> int:
        """Record what torch makes of the value as ``function(x, *weights, *options, **named)``.

        The function takes tensors of a batch, channels and `n_dims` further dimensions.
        """
        rank = len(self.input_shape)
        if rank == n_dims + 2 and not self.recording.n_batch_dims:
            function = OnInnerBatch(function)
        elif rank != n_dims + 1:
            self.output_shape  # noqa: B018 (torch's own message, if the shape is wrong)
            raise self.mixing
        weights = tuple(map(self.finite, weights))
        filled = Filled(function, options, tuple(named.items()))
        return self.affine(Applied(filled, weights, n_terms), offset)

    def maxima(self, members: Tensor, *, value: int | None = None) -> int:
        """Record the maxima of groups of members, by default of the value that goes in."""
        inputs = (self.value if value is None else value,)
        if (members < 0).all(dim=1).any():
            raise self.refusal(f"{self.operation} has a window with nothing but padding")
        return self.recording.add(MaxGroups(self._name, inputs, self.output_shape, members))

    def piecewise(
        self,
        breakpoints: Sequence[Tensor | float],
        slopes: Sequence[Tensor | float],
        anchor: Tensor | float,
    ) -> int:
        """Record one function for all units, or one each where tensors are given."""
        rows = [torch.as_tensor(v, dtype=torch.float64) for v in (*breakpoints, *slopes, anchor)]
        if not self._in_place and not any(row.ndim for row in rows):
            self.makes(self.input_shape)
        if self.output_shape != self.input_shape:
            raise self.refusal("has constants of a larger shape than the value it is applied to")
        table = self.finite(torch.stack(torch.broadcast_tensors(*rows)))
        t, s, f = table.split([len(breakpoints), len(slopes), 1])
        step = PiecewiseLinear(self._name, (self.value,), self.output_shape, t, s, f[0])
        return self.recording.add(step)

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
        if constant.ndim < rank or not self.recording.n_batch_dims:
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

    def unfollowable(self, why: str) -> UnfollowableError:
        """The error that says why this call cannot be followed, whatever it computes."""
        return UnfollowableError(f"{self.site}: {why}")

    def misfit(self, expected: str) -> InvalidModelError:
        """The error that says that the value has a wrong shape."""
        return InvalidModelError(
            f"{self.site} expects values of shape {expected}, the value has shape "
            f"{self.input_shape}; the model was given inputs of shape "
            f"{self.recording.input_shape}"
        )

    @property
    def mixing(self) -> UnsupportedLayerError:
        """The error that says that entries of the batch do not stay apart."""
        return self.refusal(
            f"{self.operation} mixes the batch dimension, which comes first, with the features"
        )

    @property
    def _name(self) -> str:
        return self.site.step_name(self.operation)


@dataclass(frozen=True)
class Filled:
    """A function of which all arguments are given but its tensors.

    Parameters
    ----------
    function : callable
        Takes tensors and then the other arguments.
    options, named : tuple
        The arguments after the tensors.
    """

    function: Callable[..., Tensor]
    options: tuple[Any, ...]
    named: tuple[tuple[str, Any], ...]

    def __call__(self, *tensors: Tensor) -> Tensor:
        """Apply to tensors."""
        return self.function(*tensors, *self.options, **dict(self.named))


@dataclass(frozen=True)
class OnInnerBatch:
    """A function of batches, for values ``(n, batch, *shape)`` that are batches themselves."""

    function: Callable[..., Tensor]

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Apply to a batch of batches."""
        return self.function(x.flatten(0, 1), *args, **kwargs).unflatten(0, x.shape[:2])


def _is_integer(tensor: Tensor) -> bool:
    """Whether a tensor is one integer, in no dimensions."""
    is_number = tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool
    return tensor.ndim == 0 and not is_number
