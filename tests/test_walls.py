"""The walls between the library's parts, checked on its source."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

import splinecam

ROOT = Path(splinecam.__file__).parent

WALLS = {
    "torch": {
        *(
            "linear",
            "program",
            "convert",
            "engine",
            "many_slices",
            "streaming",
            "recorder",
            "measures",
            "proof",
        ),
        *("network.restrict", "network.root", "network.propagate", "cutting.subdivision"),
        *("tiling.jobs", "common.batches", "_loading", "cli", "demo"),
    },
    "numba": {"_kernels"},
    "llvmlite": {"_kernels"},
    "matplotlib": {"plotting"},
    "mpl_toolkits": {"plotting"},
}
"""Which parts (modules, or packages with all their modules) may import a library."""

MAY_PRINT = {"cli", "demo"}

BROAD = {"Exception", "BaseException"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path.read_text("utf-8") for path in sorted(ROOT.rglob("*.py"))}


def parts(module: str) -> list[str]:
    """Return the parts of the library that hold a module: itself, and packages around it."""
    names = module.split(".")[1:]
    return [".".join(names[: n + 1]) for n in range(len(names))]


class WithoutTypeChecking(ast.NodeTransformer):
    """Removes the blocks that only type checkers read."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        is_typing_only = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if is_typing_only else self.generic_visit(node)


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that are imported anywhere, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{a.name}" for a in node.names)


def imported_by(module: str) -> set[str]:
    return set(imported(ast.parse(SOURCES[module])))


def inner_imports(sources: dict[str, str]) -> nx.DiGraph:
    """Return the graph of what modules import each other when the library runs."""
    graph = nx.DiGraph()
    for module, source in sources.items():
        for name in imported(WithoutTypeChecking().visit(ast.parse(source))):
            # `from package.module import name` imports the module, unless `name` is one itself.
            target = name if name in sources else name.rpartition(".")[0]
            if target in sources:
                graph.add_edge(module, target)
    return graph


def printing(tree: ast.AST) -> list[int]:
    """Return the lines of calls of `print`."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def broad_handlers(tree: ast.AST) -> list[int]:
    """Return the lines that catch, or suppress, whatever is raised."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = [node.type]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            caught = node.args
        else:
            continue
        names = [inner for kind in caught if kind is not None for inner in ast.walk(kind)]
        if caught == [None] or any(isinstance(n, ast.Name) and n.id in BROAD for n in names):
            lines.append(node.lineno)
    return lines


# --- The checks find what they look for ------------------------------------------------------


def test_imports_are_found_wherever_they_are():
    source = """
import a.b, c as d
from e import f
from . import g
def h():
    from i.j import k as l
if TYPE_CHECKING:
    import m
else:
    import n
"""
    everywhere = {"a.b", "c", "e.f", "..g", "i.j.k", "m", "n"}
    assert set(imported(ast.parse(source))) == everywhere
    assert set(imported(WithoutTypeChecking().visit(ast.parse(source)))) == everywhere - {"m"}


def test_graph_of_imports_tells_modules_from_what_they_hold():
    sources = {
        "p": "from p.a import thing",
        "p.a": "from p import b",
        "p.b": "def f():\n    import p.c, os",
        "p.c": "from p import thing",
    }
    edges = {("p", "p.a"), ("p.a", "p.b"), ("p.b", "p.c"), ("p.c", "p")}
    assert set(inner_imports(sources).edges) == edges


@pytest.mark.parametrize(
    "handler",
    [
        "try: f()\nexcept: pass",
        "try: f()\nexcept Exception: pass",
        "try: f()\nexcept (ValueError, BaseException) as e: pass",
        "\nwith contextlib.suppress(Exception): f()",
    ],
)
def test_broad_handlers_are_found(handler):
    assert broad_handlers(ast.parse(handler)) == [2]


@pytest.mark.parametrize(
    "handler",
    [
        "try: f()\nexcept (ValueError, KeyError): pass",
        "with suppress(OSError): f()",
        "raise Exception",
    ],
)
def test_narrow_handlers_are_not_found(handler):
    assert broad_handlers(ast.parse(handler)) == []


def test_prints_are_found():
    assert printing(ast.parse("'print()'\nbar.print()\nif x:\n    print(x)")) == [4]


# --- The library -----------------------------------------------------------------------------


def test_all_sources_are_read():
    assert {"splinecam", "splinecam.engine", "splinecam._kernels.arrays"} <= SOURCES.keys()


@pytest.mark.parametrize("library", WALLS)
def test_library_is_imported_only_where_it_may_be(library):
    inside = {
        module
        for module in SOURCES
        if any(name.split(".")[0] == library for name in imported_by(module))
    }
    assert {m for m in inside if WALLS[library].isdisjoint(parts(m))} == set()


def test_imports_are_absolute():
    assert {
        module for module in SOURCES if any(n.startswith(".") for n in imported_by(module))
    } == set()


def test_modules_do_not_import_each_other_in_cycles():
    graph = inner_imports(SOURCES)
    assert graph.number_of_edges() > len(SOURCES) / 2
    assert list(nx.simple_cycles(graph)) == []


def test_kernels_import_nothing_of_the_library_but_kernels():
    graph = inner_imports(SOURCES)
    kernels = {module for module in SOURCES if "_kernels" in parts(module)}
    assert list(nx.edge_boundary(graph, kernels)) == []


@pytest.mark.parametrize("module", SOURCES)
def test_module_catches_no_exception_that_it_does_not_name(module):
    assert broad_handlers(ast.parse(SOURCES[module])) == []


@pytest.mark.parametrize("module", [m for m in SOURCES if MAY_PRINT.isdisjoint(parts(m))])
def test_module_does_not_print(module):
    assert printing(ast.parse(SOURCES[module])) == []


@pytest.mark.parametrize("library", ["matplotlib", "networkx", "scipy.sparse", "sklearn"])
def test_importing_the_library_leaves_out_what_only_some_parts_need(library):
    code = f"import sys, splinecam; sys.exit({library!r} in sys.modules)"
    path = os.pathsep.join([str(ROOT.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == 0


def test_names_that_are_imported_later_are_those_that_type_checkers_read():
    everything = imported_by("splinecam") - {"importlib.import_module"}
    at_once = set(imported(WithoutTypeChecking().visit(ast.parse(SOURCES["splinecam"]))))
    later = {f"splinecam.{module}.{name}" for name, module in splinecam._MODULES.items()}
    assert later == everything - at_once
    assert {name.rpartition(".")[2] for name in everything} - {"Any", "TYPE_CHECKING"} == set(
        splinecam.__all__
    )
    assert all(hasattr(splinecam, name) for name in splinecam.__all__)
    assert set(splinecam.__all__) <= set(dir(splinecam))


def test_packages_do_not_import_each_other_in_cycles():
    graph = nx.DiGraph()
    for module, imported_module in inner_imports(SOURCES).edges:
        packages = [".".join(name.split(".")[:2]) for name in (module, imported_module)]
        if packages[0] != packages[1]:
            graph.add_edge(*packages)
    assert graph.has_edge("splinecam.tiling", "splinecam.cutting")
    assert list(nx.simple_cycles(graph)) == []
