"""Checks of a partition against its model, up to a proof."""
