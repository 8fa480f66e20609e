"""The network on a slice: what is left of a `Program` there, and the errors of its rounding."""
