"""Counter-based random numbers: every draw is a pure function of (seed, purpose, counter).

There is no generator state to save, and arms that share a seed share their draws (common random numbers).
Shape suffixes: R draws.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def purpose_key(purpose: str) -> int:
    """A 32-bit key for a purpose's name."""
    return zlib.crc32(purpose.encode())


def philox(counter_R4: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint64]:
    """Philox-4x32-10 (Salmon et al. 2011) of R counters under one key; 32-bit words in 64-bit cells."""
    c0, c1, c2, c3 = (counter_R4[:, i].astype(np.uint64) for i in range(4))
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(10):
        product0, product1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> _HALF) ^ c1 ^ k0,
            product1 & _LOW,
            (product0 >> _HALF) ^ c3 ^ k1,
            product0 & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return np.stack([c0, c1, c2, c3], axis=1)


def uniforms(seed: int, purpose: str, counter_R4: NDArray[np.uint64]) -> NDArray[np.float64]:
    """R draws in [0, 1), 53 bits each. A counter is four numbers below 2^32."""
    words_R4 = philox(counter_R4, (seed, purpose_key(purpose)))
    bits_R = (words_R4[:, 0] << np.uint64(21)) ^ (words_R4[:, 1] >> np.uint64(11))
    return bits_R.astype(np.float64) * 2.0**-53


def generator(seed: int, purpose: str, *counter: int) -> np.random.Generator:
    """A numpy generator of its own for this (seed, purpose, counter)."""
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([seed, purpose_key(purpose), *counter]))
    )
