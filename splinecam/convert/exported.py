"""Programs of `torch.export`, in memory and in ``.pt2`` files.

`torch.export.load` unpickles, resolves functions by name and evaluates expressions that it finds in
the file. A file is therefore given to it only after a look at all of these.
"""

from __future__ import annotations

import io
import json
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from splinecam.convert.traced import BATCH
from splinecam.errors import InvalidFileError, InvalidModelError

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from typing_extensions import TypeIs

_OPERATORS = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.\w+|torch\.sym_\w+|math\.\w+")
_NAMES = re.compile(r"[\w.]*")
_WORDS = re.compile(r"[a-z]+\d+|FloorDiv|CeilDiv|IntTrueDiv|Max|Min|Mod|PythonMod|True|False|\d+")
_SYMBOL = re.compile(r"Symbol\('([a-z]+\d+)'(?:, (?:positive|integer)=True)*\)")
_CHARACTERS = re.compile(r"[\w\s+*/(),<>=-]*")

_FAILURES = (
    zipfile.BadZipFile,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    UnicodeDecodeError,
    ValueError,
)
"""What reading a damaged file raises."""


def is_exported(model: object) -> TypeIs[ExportedProgram]:
    """Whether a model is a program of `torch.export`, which takes long to import."""
    module = sys.modules.get("torch.export")  # where it is not imported, nothing is its program
    return module is not None and isinstance(model, module.ExportedProgram)


def load_exported(path: Path) -> ExportedProgram:
    """Read a program that `torch.export.save` wrote, without unpickling or running its code.

    Raises
    ------
    InvalidFileError
        If the file is none, or holds what only unpickling or running code would read: compiled
        code, pickled weights or objects, functions that are no operators of torch.
    """
    from torch.export import load

    data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unsafe = next(_unsafe(archive), None)
        if unsafe is None:
            return load(io.BytesIO(data))
    except _FAILURES as error:
        raise InvalidFileError(
            f"{path} is not a program that torch.export.save wrote: {error}"
        ) from error
    raise InvalidFileError(f"{path} holds {unsafe}, which splinecam does not read")


def _unsafe(archive: zipfile.ZipFile) -> Iterator[str]:
    """What a file holds that `torch.export.load` would unpickle, compile or run."""
    for name in archive.namelist():
        inner = name.partition("/")[2]
        if inner.startswith("data/aotinductor/"):
            yield "compiled code"
        elif inner.startswith("data/sample_inputs/"):
            yield from _unsafe_tensors(archive.read(name))
        elif inner.endswith("_config.json"):
            entries = json.loads(archive.read(name))["config"].values()
            if any(entry["use_pickle"] for entry in entries):
                yield "pickled weights or constants"
        elif inner.startswith("models/"):
            yield from _unsafe_strings("", json.loads(archive.read(name)))


def _unsafe_tensors(data: bytes) -> Iterator[str]:
    if data:
        try:
            torch.load(io.BytesIO(data), weights_only=True)
        except UnpicklingError:
            yield "pickled sample inputs that are no tensors"


def _unsafe_strings(key: str, value: Any) -> Iterator[str]:
    """Strings of a model's description that stand for code where they should not."""
    if isinstance(value, dict):
        for inner_key, inner in value.items():
            if key == "range_constraints":
                yield from _unsafe_strings("expr_str", inner_key)
            if inner_key not in ("metadata", "guards_code"):  # never evaluated by us
                yield from _unsafe_strings(inner_key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _unsafe_strings(key, inner)
    elif isinstance(value, str):
        if key in ("target", "as_operator") and not _OPERATORS.fullmatch(value):
            yield f"the function {value!r}"
        elif key == "expr_str" and not _is_arithmetic(value):
            yield f"the expression {value!r}"
        elif key in ("name", "graph_name") and not _NAMES.fullmatch(value):
            yield f"the name {value!r}"


def _is_arithmetic(expression: str) -> bool:
    expression = _SYMBOL.sub(r"\1", expression)
    words = re.findall(r"\w+", expression)
    return bool(_CHARACTERS.fullmatch(expression)) and all(map(_WORDS.fullmatch, words))


def export(model: nn.Module, input_shape: tuple[int, ...]) -> nn.Module | None:
    """Write a model's forward pass without in-place operations, as `torch.export` sees it.

    Parameters
    ----------
    model : nn.Module
        A private copy, whose parameters may be plain tensors; `torch.export` asks for `Parameter`.
    input_shape : tuple of int
        Shape of one input, without the batch dimension.

    Returns
    -------
    nn.Module or None
        It takes batches of the size `BATCH`; None where `torch.export` fails.
    """
    from torch._export.verifier import SpecViolationError
    from torch.export import export as export_program

    for module in model.modules():
        for name, tensor in module._parameters.items():
            if tensor is not None:
                module._parameters[name] = nn.Parameter(tensor, requires_grad=False)
    example = torch.zeros(BATCH, *input_shape, dtype=torch.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of its own ways
            program = export_program(model, (example,), strict=False)
            return program.run_decompositions({}).module(check_guards=False)
    except (*_FAILURES, SpecViolationError):
        return None


def exported_module(
    program: ExportedProgram, input_shape: tuple[int, ...]
) -> tuple[nn.Module, int]:
    """The module of an exported program, and the batch size that it takes.

    Raises
    ------
    InvalidModelError
        If it takes anything else than one tensor of a batch of inputs of this shape.
    """
    inputs = program.graph_signature.user_inputs
    examples = [
        node.meta["val"]
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in inputs
    ]
    if len(examples) != 1 or not isinstance(examples[0], Tensor):
        raise InvalidModelError(
            f"the exported program takes {len(inputs)} inputs; one tensor is accepted"
        )
    batch, *shape = examples[0].shape or (0,)
    fits = len(shape) == len(input_shape) and all(
        not isinstance(given, int) or given == length
        for given, length in zip(shape, input_shape, strict=True)
    )
    if not fits:
        raise InvalidModelError(
            f"the exported program takes inputs of shape {tuple(examples[0].shape)}, with the "
            f"batch dimension first; it was given inputs of shape {input_shape}"
        )
    return program.module(check_guards=False), batch if isinstance(batch, int) else BATCH
