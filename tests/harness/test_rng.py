"""Counter-based random numbers."""

import numpy as np
from scipy import stats

from harness.rng import philox, uniforms


def test_philox_known_answers():
    """Random123's kat_vectors for philox4x32-10."""
    zeros = philox(np.zeros((1, 4), np.uint64), (0, 0))[0]
    ones = philox(np.full((1, 4), 0xFFFFFFFF, np.uint64), (0xFFFFFFFF, 0xFFFFFFFF))[0]
    pi = philox(
        np.array([[0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]], np.uint64), (0xA4093822, 0x299F31D0)
    )[0]
    assert [hex(word) for word in zeros] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    assert [hex(word) for word in ones] == ["0x408f276d", "0x41c83b0e", "0xa20bc7c6", "0x6d5451fd"]
    assert [hex(word) for word in pi] == ["0xd16cfe09", "0x94fdcceb", "0x5001e420", "0x24126ea1"]


def test_uniforms_are_uniform_and_keyed():
    counters = np.zeros((20000, 4), np.uint64)
    counters[:, 2] = np.arange(20000)
    draws = uniforms(3, "rollout", counters)
    assert stats.kstest(draws, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.02
    np.testing.assert_array_equal(draws[5:9], uniforms(3, "rollout", counters[5:9]))
    assert not np.array_equal(draws, uniforms(3, "evaluation", counters))
    assert not np.array_equal(draws, uniforms(4, "rollout", counters))
