"""Interactive pages, as files and in notebooks."""

from __future__ import annotations

import html
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

FRAME = (
    '<iframe srcdoc="{}" title="splinecam" sandbox="allow-scripts" '
    'style="width: 100%; height: 640px; border: 0"></iframe>'
)


@dataclass(frozen=True, eq=False, repr=False)
class Page:
    """An interactive page; made by `explore` and `origami_page`. Jupyter displays it.

    Parameters
    ----------
    html : str
        The page. It holds all that it needs and fetches nothing.
    """

    html: str

    def __repr__(self) -> str:
        return f"<Page: {len(self.html.encode()) / 1e6:.1f} MB>"

    def save(self, path: str | PathLike[str]) -> None:
        """Write the page to a file, in UTF-8."""
        Path(path).write_text(self.html, "utf-8")

    def _repr_html_(self) -> str:
        return FRAME.format(html.escape(self.html))
