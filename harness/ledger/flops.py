"""Closed forms for a decoder's floating-point operations, a multiply-add counted as two.

N matmul parameters without the input embedding, A = layers x heads x head_dim. Attention is causal: a token
at position c attends to c positions, itself included; the closed forms use s^2 for the sum 2(1 + ... + s).
Shape suffixes: R rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


def _total(x: ArrayLike) -> int:
    return int(np.sum(np.asarray(x, dtype=np.int64)))


@dataclass(frozen=True)
class TransformerFlops:
    """The two numbers that the closed forms need."""

    matmul_params: int
    """N: parameters that multiply every token; a tied head counts once, the input embedding never."""
    attention: int
    """A: layers x heads x head_dim, head_dim from the model's configuration."""

    def decode(self, context_R: ArrayLike) -> int:
        """One token each, attending to `context_R` positions, itself included: 2N + 4A c."""
        context_R = np.asarray(context_R, dtype=np.int64)
        return 2 * self.matmul_params * context_R.size + 4 * self.attention * _total(context_R)

    def forward(self, length_R: ArrayLike) -> int:
        """Prefill or score whole rows of these lengths: 2N s + 2A s^2."""
        length_R = np.asarray(length_R, dtype=np.int64)
        return 2 * self.matmul_params * _total(length_R) + 2 * self.attention * _total(length_R**2)

    def train(self, length_R: ArrayLike) -> int:
        """Forward and backward: three times the forward pass."""
        return 3 * self.forward(length_R)
