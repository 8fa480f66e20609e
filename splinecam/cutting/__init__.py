"""Cutting a convex patch of the slice by all hinges of a network, layer by layer, exactly."""
