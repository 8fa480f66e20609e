"""Handlers of what only moves, repeats and joins entries, or puts constants between them.

torch itself says where the entries go: each such function is run on tensors whose entries are
numbered.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from splinecam.convert.calls import Call
from splinecam.convert.table import named
from splinecam.convert.traced import TracedTensor
from splinecam.linear import Gather, Reshape, Shape


def move(call: Call, *_: Any, **__: Any) -> list[int]:
    """Record where the entries of each tensor of the result come from."""
    n_batch_dims = call.recording.n_batch_dims
    batch = (call.recording.batch if _names_batch(call) else 2,) * n_batch_dims
    numbered, zeros = _arguments(call, batch)
    pairs = zip(_run(call, numbered), _run(call, zeros), strict=True)
    return [
        _record(call, index - offset, offset, batch, shape)
        for (index, offset), shape in zip(pairs, call.output_shapes, strict=True)
    ]


def _names_batch(call: Call) -> bool:
    """Whether the arguments of a call, apart from the values, may name the size of the batch."""
    for leaf in tree_leaves((call.args, dict(call.kwargs))):
        if isinstance(leaf, Tensor) and not isinstance(leaf, TracedTensor):
            named = tuple(leaf.shape)
        else:
            named = (leaf.start, leaf.stop) if isinstance(leaf, slice) else (leaf,)
        if call.recording.batch in [abs(n) for n in named if isinstance(n, int)]:
            return True
    return False


def _arguments(call: Call, batch: Shape) -> tuple[list[Tensor], list[Tensor]]:
    """Tensors with numbered entries, from 1 and on through a batch's values, and zeros."""
    shapes = [call.recording.shape_of(t.standing.value) for t in call.traced]
    sizes = [prod(shape) for shape in shapes]
    n_entries = sum(sizes)
    numbers = torch.arange(1.0, n_entries + 1, dtype=torch.float64)
    if batch:
        numbers = numbers + n_entries * torch.arange(*batch)[:, None]
    numbered = [
        part.reshape(*batch, *shape)
        for part, shape in zip(torch.split(numbers, sizes, dim=-1), shapes, strict=True)
    ]
    return numbered, [torch.zeros_like(part) for part in numbered]


def _run(call: Call, tensors: list[Tensor]) -> list[Tensor]:
    """What the function makes of other tensors in the place of the traced ones."""
    supply = iter(tensors)
    args, kwargs = tree_map_only(
        TracedTensor, lambda _: next(supply), (call.args, dict(call.kwargs))
    )
    return tree_leaves(call.function(*args, **kwargs))


def _record(call: Call, index: Tensor, offset: Tensor, batch: Shape, shape: Shape) -> int:
    if tuple(index.shape) != (*batch, *shape):
        raise call.mixing
    if batch:
        n_entries = sum(call.recording.n_entries(t.standing.value) for t in call.traced)
        ahead = n_entries * torch.arange(*batch).reshape(-1, *(1 for _ in shape))
        stays = torch.where(index > 0, index - ahead, index) == index[0]
        if not (stays & (offset == offset[0])).all():
            raise call.mixing
        index, offset = index[0], offset[0]
    index = index.to(torch.int64) - 1
    shift = call.constant(offset) if offset.any() else None
    inputs = tuple(t.standing.value for t in call.traced)
    in_order = torch.arange(call.recording.n_entries(call.value))
    if len(inputs) > 1 or not torch.equal(index.reshape(-1), in_order):
        return call.affine(Gather(index), shift, inputs=inputs, shape=shape)
    if shift is None and shape == call.input_shape:
        return call.value
    return call.affine(Reshape(shape), shift, shape=shape)


HANDLERS = named(
    {
        move: "__getitem__ adjoint broadcast_to cat channel_shuffle chunk column_stack concat "
        "concatenate copy diag diag_embed diagonal dsplit dstack expand expand_as fill flip fliplr "
        "flipud gather hsplit hstack im2col index index_put index_select masked_fill mT moveaxis "
        "movedim narrow native_channel_shuffle pad permute pixel_shuffle pixel_unshuffle repeat "
        "repeat_interleave roll rot90 row_stack select select_scatter slice slice_scatter split "
        "split_with_sizes stack swapaxes swapdims T t take_along_dim tensor_split tile transpose "
        "tril triu unbind unfold unsafe_chunk unsafe_split upsample_nearest1d upsample_nearest2d "
        "upsample_nearest3d vsplit vstack where",
    }
)
