"""Compiled kernels: arrays in, arrays out.

Every kernel works on a range of edges, faces or chords, releases the interpreter's lock, and
writes only to places that its range owns, so that the ranges of one pass may run side by side and
the result does not depend on how they are cut.
"""
