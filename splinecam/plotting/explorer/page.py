"""The page: a template, its style and scripts, and the data, all in one file."""

from __future__ import annotations

import json
from importlib import resources
from os import PathLike
from string import Template

from splinecam.errors import InvalidArgumentError
from splinecam.partition.partition import Partition
from splinecam.plotting._pages import Page
from splinecam.plotting.explorer.contents import page_contents
from splinecam.plotting.explorer.packing import pack

MOST_REGIONS = 1_000_000

SCRIPTS = (
    *("arrays.js", "mesh.js", "grid.js", "batches.js", "themes.js", "painter.js", "view.js"),
    *("panel.js", "main.js"),
)


def explore(p: Partition, path: str | PathLike[str] | None = None) -> Page:
    """Make a page on which a partition can be explored, in any browser that has WebGL 2.

    Drag, wheel, pinch, arrow keys, plus and minus move the view, 0 resets it. Pointing at a region
    shows its number, area, class and outputs, and how many units are active in each layer; a click
    lists its neighbours and what changes across each side: the units, and on which side they are
    on. The lines of each layer and the decision boundary can be hidden.

    Numbers of regions, layers and units are those of `p`. Drawn coordinates and outputs are
    rounded to float32; outputs, and the class they make, are those at the cursor.

    Parameters
    ----------
    p : Partition
        At most 1,000,000 regions; some 60 bytes for each are in the page, and 4 more for each
        output.
    path : str or path-like, optional
        Where to write the page. Default: nowhere.

    Returns
    -------
    Page

    Raises
    ------
    InvalidArgumentError
        If `p` has too many regions.

    Notes
    -----
    Of more than 16 outputs only those are in the page that win somewhere on the slice.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.plotting import explore
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    ... )
    >>> page = explore(sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1))))
    >>> page.html.startswith("<!doctype html>")
    True
    """
    if p.n_regions > MOST_REGIONS:
        raise InvalidArgumentError(
            f"p has {p.n_regions:,} regions; accepted: up to {MOST_REGIONS:,}, for instance those "
            "of a part of the slice (Slice.with_box); plot_partition draws any number"
        )
    contents = page_contents(p)
    listed, packed = pack(contents.arrays)
    page = Page(
        Template(_part("page.html")).substitute(
            title=f"{p.n_regions:,} linear regions",
            style=_part("style.css"),
            header=_json({**contents.header, "arrays": listed}),
            arrays=packed,
            script="\n".join(_part(name) for name in SCRIPTS),
        )
    )
    if path is not None:
        page.save(path)
    return page


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _json(value: object) -> str:
    """JSON inside a script element, which any "</script>" in it would end."""
    return json.dumps(value).replace("<", "\\u003c")
