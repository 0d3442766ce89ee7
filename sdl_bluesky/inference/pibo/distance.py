"""How far from a target a composition will lie: the law of (x - x*)^2 + (y - y*)^2 for independent normals.

With m = mean - target, axis 1 the one of the smaller standard deviation, the distance R has

    F(R) = int R cos t phi((R sin t - m1)/s1)/s1 [Phi((R cos t - m2)/s2) - Phi((-R cos t - m2)/s2)] dt
    f(R) = int R       phi((R sin t - m1)/s1)/s1 [phi((R cos t - m2)/s2) + phi((-R cos t - m2)/s2)]/s2 dt

over -pi/2 < t < pi/2, where t is cut to |R sin t - m1| < 9 s1: outside it the integrand is nothing, and a fixed rule over
all of it would miss its peak. Far out, axis 1 is the one of the smaller s |m|: along the other one the bracket is a step
too sharp for the rule. For s1 = s2 this is the noncentral chi-squared law of two degrees (gamma^2 Q_NC(p; C) of PIBO).

Where the target is far, the second order of the expansion in 1/|m| takes over (Cornish and Fisher, Rev. Inst. Int. Stat. 5,
307, 1938): R = |m| + z_p s_r + E[e_t^2 | e_r = z_p s_r] / (2 |m|), e_r and e_t the errors along and across m. With equal
errors and z_p = z this is gamma^2 (sqrt C + z + 1/(2 sqrt C))^2.

Everything here is torch in double precision, shapes broadcast; gradients are those of the implicit function.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sdl_bluesky.errors import OutOfRange

_CUT = 9.0
_FAR = 1000.0
"""|m| in units of the larger standard deviation, and its square over the smaller, from where the expansion is used."""
_STEPS = 100
_CLOSE = 1e-7  # relative: a step smaller than this leaves an error of its square
_NODES, _WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(64))
_OUT = 12.0
_SMALLEST = 1e-9
"""Ratio of standard deviations under which the smaller is raised: no composition is known that well."""


def distance_quantile(p: float, mean: Tensor, std: Tensor) -> Tensor:
    """The p-quantile [...] of the squared distance.

    Args:
        p: 0 < p < 1.
        mean: of (x - x*, y - y*) [..., 2].
        std: their standard deviations [..., 2], above 0.

    Raises:
        OutOfRange: p, a shape or a number cannot be used.
    """
    mean, std = _checked(mean, std)
    if not 0.0 < p < 1.0:
        raise OutOfRange(f"p = {p}: give a probability above 0 and below 1, e.g. 0.1")
    unit = torch.linalg.vector_norm(std, dim=-1, keepdim=True).detach()  # a scale: numbers of the order of one
    near, far = _sorted(mean / unit, std / unit)
    square = torch.where(_is_far(near, far), _far_radius(p, near, far), _near_radius(p, near, far)) ** 2
    return square * unit[..., 0] ** 2


def published_quantile(p: float, mean: Tensor, std: Tensor) -> Tensor:
    """gamma^2 Q_NC(p; C) [...] with gamma^2 = (s_x^2 + s_y^2)/2, as published: both errors taken as gamma."""
    mean, std = _checked(mean, std)
    gamma = torch.sqrt((std**2).mean(dim=-1, keepdim=True))
    return distance_quantile(p, mean, gamma.expand(std.shape))


def distance_probability(radius: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Probability [...] of a distance of at most `radius` [...]; mean and std as in `distance_quantile`."""
    mean, std = _checked(mean, std)
    m, s = _sorted(mean, std)
    return _probability(torch.as_tensor(radius, dtype=torch.float64).clamp_min(0.0), m, s)


def _checked(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = torch.as_tensor(mean, dtype=torch.float64), torch.as_tensor(std, dtype=torch.float64)
    if mean.shape[-1:] != (2,) or std.shape[-1:] != (2,):
        raise OutOfRange(f"means {tuple(mean.shape)}, errors {tuple(std.shape)}: give x and y on the last axis")
    if not bool(torch.isfinite(mean).all()) or not bool((torch.isfinite(std) & (std > 0)).all()):
        raise OutOfRange("a mean is not finite, or a standard deviation is not above 0")
    mean, std = torch.broadcast_tensors(mean, std)
    return mean, std


def _sorted(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """The axis to integrate along first: the one of the smaller error or, far out, of the smaller share of the spread."""
    std = torch.maximum(std, _SMALLEST * std.amax(dim=-1, keepdim=True))
    share = std * mean.abs()
    out = torch.linalg.vector_norm(mean, dim=-1) > _OUT * std.amax(dim=-1)
    swap = torch.where(out, share[..., 1] < share[..., 0], std[..., 1] < std[..., 0]).unsqueeze(-1)
    return torch.where(swap, mean.flip(-1), mean), torch.where(swap, std.flip(-1), std)


def _is_far(m: Tensor, s: Tensor) -> Tensor:
    return torch.linalg.vector_norm(m, dim=-1) > _FAR * s.amax(dim=-1) ** 2 / s.amin(dim=-1)


def _far_radius(p: float, m: Tensor, s: Tensor) -> Tensor:
    far = _is_far(m, s).unsqueeze(-1)
    m = torch.where(far, m, torch.ones_like(m))  # what is not used must not spoil the gradient
    z = math.sqrt(2.0) * float(torch.special.erfinv(torch.tensor(2.0 * p - 1.0, dtype=torch.float64)))
    length = torch.linalg.vector_norm(m, dim=-1)
    c, n = m[..., 0] / length, m[..., 1] / length
    v1, v2 = s[..., 0] ** 2, s[..., 1] ** 2
    along, both, across = c**2 * v1 + n**2 * v2, c * n * (v2 - v1), n**2 * v1 + c**2 * v2
    tangent = across + (z**2 - 1.0) * both**2 / along
    return length + z * torch.sqrt(along) + tangent / (2.0 * length)


def _near_radius(p: float, m: Tensor, s: Tensor) -> Tensor:
    far = _is_far(m, s).unsqueeze(-1)
    m = torch.where(far, torch.ones_like(m), m)
    with torch.no_grad():
        r = _root(p, m, s)
        density = _density(r, m, s).clamp_min(1e-300)
    return r - (_probability(r, m, s) - p) / density


def _root(p: float, m: Tensor, s: Tensor) -> Tensor:
    """F(R) = p between brackets: Newton's steps, halved where they leave the bracket."""
    length = torch.linalg.vector_norm(m, dim=-1)
    reach = (math.sqrt(-2.0 * math.log(min(p, 1.0 - p))) + 3.0) * s.amax(dim=-1)
    low, high = (length - reach).clamp_min(0.0), length + reach
    r = torch.sqrt(length**2 + (s**2).sum(dim=-1))
    shape, m, s = r.shape, m.reshape(-1, 2), s.reshape(-1, 2)
    r, low, high = r.reshape(-1).clone(), low.reshape(-1).clone(), high.reshape(-1).clone()
    open_ = torch.arange(r.numel())
    for _ in range(_STEPS):
        at, mean, std = r[open_], m[open_], s[open_]
        off = _probability(at, mean, std) - p
        low[open_], high[open_] = torch.where(off < 0, at, low[open_]), torch.where(off < 0, high[open_], at)
        new = at - off / _density(at, mean, std).clamp_min(1e-300)
        new = torch.where((new > low[open_]) & (new < high[open_]), new, (low[open_] + high[open_]) / 2.0)
        r[open_] = new
        open_ = open_[(new - at).abs() > _CLOSE * (at + std[:, 0])]
        if not open_.numel():
            break
    return r.reshape(shape)


def _angles(r: Tensor, m: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes t, their weights, and R [..., nodes]."""
    safe = r.clamp_min(1e-300)
    low = torch.asin(torch.maximum((m[..., 0] - _CUT * s[..., 0]) / safe, -torch.ones_like(r)).clamp_max(1.0))
    high = torch.asin(torch.minimum((m[..., 0] + _CUT * s[..., 0]) / safe, torch.ones_like(r)).clamp_min(-1.0))
    half = (high - low).clamp_min(0.0) / 2.0
    t = ((high + low) / 2.0).unsqueeze(-1) + half.unsqueeze(-1) * _NODES
    return t, half.unsqueeze(-1) * _WEIGHTS, r.unsqueeze(-1)


def _probability(r: Tensor, m: Tensor, s: Tensor) -> Tensor:
    with torch.no_grad():  # the cut moves nothing: the integrand vanishes there
        t, w, big = _angles(r, m, s)
    m1, m2, s1, s2 = (a.unsqueeze(-1) for a in (*m.unbind(-1), *s.unbind(-1)))
    across, up = big * torch.cos(t), big * torch.sin(t)
    inside = torch.special.ndtr((across - m2) / s2) - torch.special.ndtr((-across - m2) / s2)
    return (w * across * _phi((up - m1) / s1) / s1 * inside).sum(dim=-1)


def _density(r: Tensor, m: Tensor, s: Tensor) -> Tensor:
    t, w, big = _angles(r, m, s)
    m1, m2, s1, s2 = (a.unsqueeze(-1) for a in (*m.unbind(-1), *s.unbind(-1)))
    across, up = big * torch.cos(t), big * torch.sin(t)
    both = _phi((across - m2) / s2) + _phi((-across - m2) / s2)
    return (w * big * _phi((up - m1) / s1) / s1 * both / s2).sum(dim=-1)


def _phi(u: Tensor) -> Tensor:
    return torch.exp(-0.5 * u**2) / math.sqrt(2.0 * math.pi)
