"""Partitions handed out tile by tile."""
