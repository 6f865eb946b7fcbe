"""A straight change is found as it is, scatter is not taken for one."""

import numpy as np
import pytest

from napari_xpcs.kernels.stability import drift

PARTS = 12


def test_a_straight_change_is_told_exactly():
    place = np.linspace(-0.5, 0.5, PARTS)[:, None]
    change = np.array([0.1, -0.02, 0.0])
    level = np.array([3.0, 1e-6, 50.0])
    found = drift(level * (1.0 + change * place))
    np.testing.assert_allclose(found.change, change, atol=1e-12)
    np.testing.assert_allclose(found.error, 0.0, atol=1e-12)


def test_change_and_error_are_those_of_a_least_squares_line():
    values = np.random.default_rng(1).normal(10.0, 1.0, PARTS)
    place = np.linspace(-0.5, 0.5, PARTS)
    (slope, _), covariance = np.polyfit(place, values / values.mean(), 1, cov=True)
    found = drift(values[:, None])
    assert found.change[0] == pytest.approx(slope)
    assert found.error[0] == pytest.approx(np.sqrt(covariance[0, 0]))


def test_scatter_alone_is_as_strong_as_its_chance_says():
    rng = np.random.default_rng(2)
    chances = np.array([drift(rng.normal(100.0, 5.0, (PARTS, 30))).chance for _ in range(400)])
    for level in (0.05, 0.5):
        expected = 400 * level
        assert abs((chances < level).sum() - expected) < 4 * np.sqrt(expected * (1 - level))


def test_a_change_in_one_of_many_is_found_and_named():
    parts = np.random.default_rng(3).normal(100.0, 1.0, (PARTS, 50))
    parts[:, 17] *= 1.0 + 0.2 * np.linspace(-0.5, 0.5, PARTS)
    found = drift(parts)
    assert found.strongest == 17
    assert found.change[17] == pytest.approx(0.2, abs=4 * found.error[17])
    assert found.chance < 1e-4


@pytest.mark.parametrize("spoilt", [np.nan, 0.0, -1.0])
def test_what_is_not_counted_is_not_told(spoilt):
    parts = np.random.default_rng(4).normal(100.0, 1.0, (PARTS, 2))
    parts[:, 0] = spoilt
    found = drift(parts)
    assert np.isnan(found.change[0])
    assert found.strongest == 1
    assert found.known == 1


def test_two_parts_have_a_change_without_an_error():
    found = drift(np.array([[1.0], [3.0]]))
    assert found.change[0] == pytest.approx(1.0)
    assert found.strongest is None
    assert np.isnan(found.chance)


def test_equal_parts_are_no_change_and_no_certainty():
    found = drift(np.full((PARTS, 3), 2.0))
    np.testing.assert_allclose(found.change, 0.0, atol=1e-15)
    assert found.strongest is None
