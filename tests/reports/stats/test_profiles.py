"""Performance profiles against rliable's numbers."""

import numpy as np
import pytest

from reports import stats
from tests.reports.stats import RLIABLE_X


def test_profile_is_rliables():
    """rliable 1.2.0, library.create_performance_profile at these thresholds."""
    found = stats.performance_profile(RLIABLE_X, [0.0, 0.1, 0.35, 0.5, 0.9, 1.0])
    np.testing.assert_allclose(found, [1.0, 12 / 14, 10 / 14, 9 / 14, 2 / 14, 0.0])


def test_intervals_of_one_environment():
    scores = np.array(RLIABLE_X)[:, 0]
    (found,) = stats.profile_intervals(scores, [0.35])
    assert found == stats.share_interval(3, 7)
    assert found.estimate == pytest.approx(stats.performance_profile(scores[:, None], [0.35])[0])
