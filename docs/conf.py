"""How Sphinx makes the API reference; `make docs` runs it."""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Any

project = "splinecam"
author = "The splinecam developers"
release = version = version_of("splinecam")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
]
templates_path = ["_templates"]
exclude_patterns = ["build"]
default_role = "py:obj"
add_module_names = False
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more
numpydoc_show_class_members = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"splinecam {release}"
html_copy_source = False
html_show_copyright = html_show_sphinx = False


def leave_out_aliases(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out fields of named tuples of which only Python says something."""
    is_alias = (getattr(obj, "__doc__", None) or "").startswith("Alias for field number")
    return True if is_alias else None


def escape_stars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Take the star in shapes such as (n, *input_shape) for a star."""
    lines[:] = [line.replace("*input_shape", r"\*input_shape") for line in lines]


def setup(app: Any) -> None:
    """Connect what is above."""
    app.connect("autodoc-process-docstring", escape_stars)
    app.connect("autodoc-skip-member", leave_out_aliases)
