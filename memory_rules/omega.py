"""Omega: every token descends the errors of the last few tokens, not its own alone.

    surprise_t = sum_{lag < window} weight_{t, lag} gradient of ||read(k_{t-lag}) - v_{t-lag}||^2
    memory_t   = (1 - decay_t) memory_{t-1} - lr_t surprise_t

weight_{t, lag} in (0, 1) is a gate of the newer token. arXiv:2505.23735, section 3 (the Omega
rule); the gradients are taken at the start of the chunk, as in Titans.
"""

from dataclasses import dataclass

from memory_rules.registry import register
from memory_rules.windowed import AbstractWindowRule


@register("omega", paper="arXiv:2505.23735")
@dataclass(frozen=True, kw_only=True)
class Omega(AbstractWindowRule):
    """A window of errors, decay, no momentum."""

    momentum: str = "none"
