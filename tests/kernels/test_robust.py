"""The robust spread, against the normal distribution and beside odd numbers."""

import numpy as np
import pytest

from napari_xpcs.kernels.robust import robust_spread


def test_spread_is_the_standard_deviation_and_odd_numbers_hardly_count() -> None:
    normal = np.random.default_rng(1).normal(40.0, 3.0, 20_001)
    spread = robust_spread(normal)
    assert spread == pytest.approx(3.0, rel=0.03)
    assert robust_spread(normal + 1000.0) == pytest.approx(spread)
    normal[:200] = 1e6
    assert robust_spread(normal) == pytest.approx(3.0, rel=0.05)
