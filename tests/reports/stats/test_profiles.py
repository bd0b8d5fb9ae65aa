"""Performance profiles against rliable's numbers."""

import numpy as np
import pytest

from reports import stats
from tests.reports.stats import RLIABLE_ABOVE, RLIABLE_SCORES, RLIABLE_X


def test_profile_is_rliables():
    """rliable 1.2.0, library.create_performance_profile at these thresholds."""
    np.testing.assert_allclose(stats.performance_profile(RLIABLE_X, RLIABLE_SCORES), RLIABLE_ABOVE)


def test_intervals_of_one_environment():
    scores = np.array(RLIABLE_X)[:, 0]
    (found,) = stats.profile_intervals(scores, [0.35])
    assert found == stats.share_interval(3, 7)
    assert found.estimate == pytest.approx(stats.performance_profile(scores[:, None], [0.35])[0])
