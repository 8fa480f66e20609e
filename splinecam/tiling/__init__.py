"""Cutting a slice tile by tile, and putting the tiles together."""
