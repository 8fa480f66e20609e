"""The partition of a slice: its arrays, maps and patterns, checks and files."""
