"""The interactive explorer: a partition as one self-contained page."""

from splinecam.plotting.explorer.page import Explorer, explore

__all__ = ["Explorer", "explore"]
