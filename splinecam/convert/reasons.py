"""Why an operation without a handler is refused, in the user's terms."""

from __future__ import annotations

_ACCEPTED = (
    "accepted are Linear, convolutions, products with constants, BatchNorm, sums, means, "
    "interpolation, what moves, joins or pads entries, average and max-pooling, maxima and minima, "
    "and the activations ReLU, LeakyReLU, PReLU, RReLU, abs, Hardtanh, ReLU6, clamp, Hardsigmoid "
    "and Softshrink"
)

_CURVED = """
    acos asin atan bilinear celu cos cosh elu erf exp expm1 gelu glu group_norm instance_norm
    layer_norm local_response_norm log log1p logsigmoid logsumexp mish norm
    normalize pow prod reciprocal rms_norm rpow rsqrt scaled_dot_product_attention selu
    silu sin sinh softmin softplus softsign sqrt square std tan tanh tanhshrink var
    """

_QUADRATIC = "hardswish"

_DISCONTINUOUS = """
    argmax argmin bernoulli bool ceil eq floor fmod frac ge greater greater_equal gt heaviside int
    le less less_equal logical_not long lt ne not_equal remainder round sgn sign signbit trunc
    """

_READING = """
    array bool complex contains equal float index int is_nonzero item numpy tolist
    """


def why_unknown(operation: str) -> str:
    """The reason why the result of `operation` cannot be a part of the program."""
    if operation in _CURVED.split():
        why = "is not piecewise linear"
    elif operation in _QUADRATIC.split():
        why = "is piecewise quadratic, not piecewise linear"
    elif operation in _DISCONTINUOUS.split():
        why = "is not continuous"
    else:
        why = "is not an operation that splinecam knows"
    return f"{operation} {why}; {_ACCEPTED}"


def reads_values(operation: str) -> bool:
    """Whether `operation` takes the value of a tensor out of it."""
    return operation in _READING.split()


def why_unreadable(operation: str) -> str:
    """The reason why `operation`, which reads values, cannot be run on a tensor without data."""
    return (
        f"the forward pass reads the value of a tensor ({operation}); control flow that "
        "depends on the data cannot be followed, only control flow that depends on shapes"
    )
