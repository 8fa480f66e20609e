"""The network on a slice without rounding: rational predicates, and the network they ask about.

The network is the `Program` whose float64 coefficients are taken as the rational numbers they
are, on the plane ``origin + u * basis[0] + v * basis[1]`` with the slice's stored floats. All
numbers are Python integers; where a division by a power of two remains, its exponent is kept
once for a whole value of the program.
"""

from splinecam.exact.network import ExactNetwork
from splinecam.exact.predicates import (
    Point,
    Row,
    distance_bound,
    intersection,
    line_through,
    order_along,
    point_at,
    sign,
    sign_at,
    turn,
)
from splinecam.exact.stages import Pattern, pattern_of

__all__ = [
    "ExactNetwork",
    "Pattern",
    "Point",
    "Row",
    "distance_bound",
    "intersection",
    "line_through",
    "order_along",
    "pattern_of",
    "point_at",
    "sign",
    "sign_at",
    "turn",
]
