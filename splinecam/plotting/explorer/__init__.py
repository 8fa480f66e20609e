"""The interactive explorer: a partition as one self-contained page."""

from splinecam.plotting.explorer.page import explore

__all__ = ["explore"]
