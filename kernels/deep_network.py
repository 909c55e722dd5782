"""The token-wise parts of a deep memory inside a kernel: GELU and layer norm, with derivatives.

Tiles are [tokens, channels] in ACC; channels that are only padding are zero and stay zero.
"""

# pyright: reportAssignmentType=false, reportArgumentType=false, reportGeneralTypeIssues=false
# (Triton's language is not Python's: a number may stand where its constexpr is meant)

import triton
import triton.language as tl

HALF_ROOT: tl.constexpr = tl.constexpr(0.7071067811865476)  # 1 / sqrt(2)
PEAK: tl.constexpr = tl.constexpr(0.3989422804014327)  # 1 / sqrt(2 pi)
EPS: tl.constexpr = tl.constexpr(1e-5)  # of torch's layer norm


@triton.jit
def _bell(z):
    """exp(-z^2 / 2), and the normal distribution up to z.

    fp64 asks the exact erf; below, a polynomial in 1 / (1 + 0.33 |z|) without a branch, whose own
    error is 6e-9: erf as a library has it branches, and takes the registers of a whole tile.
    """
    bell = tl.exp(-0.5 * z * z)
    if z.dtype == tl.float64:
        below = 0.5 + 0.5 * tl.erf(z * HALF_ROOT)
    else:
        t = 1.0 / (1.0 + 0.33 * tl.abs(z))
        tail = 0.04472272133202865 * t - 0.2168861685586942
        tail = tail * t + 0.3244009764496418
        tail = tail * t - 0.0826569765020246
        tail = tail * t + 0.1774603175735923
        tail = tail * t + 0.12045701959251545
        tail = (tail * t + 0.13250210407482457) * t * bell
        below = tl.where(z > 0.0, 1.0 - tail, tail)
    return bell, below


@triton.jit
def gelu(z):
    """GELU with the exact erf, and its first and second derivative."""
    bell, below = _bell(z)
    return z * below, below + z * (PEAK * bell), (2.0 - z * z) * (PEAK * bell)


@triton.jit
def standard(z, inside, K: tl.constexpr):
    """Rows with zero mean and unit variance, and one over their standard deviation."""
    centred = tl.where(inside[None, :], z - (tl.sum(z, 1) / K)[:, None], 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / K + EPS)
    return centred * scale[:, None], scale


@triton.jit
def through_norm(hat, scale, g, inside, K: tl.constexpr):
    """The (symmetric) Jacobian of `standard` times g: scale (g - mean g - hat mean(g hat))."""
    mean, along = tl.sum(g, 1) / K, tl.sum(g * hat, 1) / K
    found = scale[:, None] * (g - mean[:, None] - hat * along[:, None])
    return tl.where(inside[None, :], found, 0.0)


@triton.jit
def bend_of_norm(hat, scale, p, g, inside, K: tl.constexpr):
    """The gradient of <p, J(z) g> to z, with p and g held: how the norm's own slope moves."""
    mean_p, mean_g = tl.sum(p, 1) / K, tl.sum(g, 1) / K
    along_p, along_g = tl.sum(p * hat, 1) / K, tl.sum(g * hat, 1) / K
    common = tl.sum(p * g, 1) / K - mean_p * mean_g - along_p * along_g
    found = (scale * scale * common)[:, None] * hat
    found += (scale * along_g)[:, None] * through_norm(hat, scale, p, inside, K)
    found += (scale * along_p)[:, None] * through_norm(hat, scale, g, inside, K)
    return -found


@triton.jit
def error(z, k, v, inside, K: tl.constexpr, RESIDUAL: tl.constexpr, NORM: tl.constexpr):
    """The slope of the squared error at the network's output, with the norm it went through."""
    hat, scale = z, tl.sum(z, 1)
    if NORM:
        hat, scale = standard(z, inside, K)
    g = 2.0 * (hat - v)
    if RESIDUAL:
        g += 2.0 * k
    return g, hat, scale
