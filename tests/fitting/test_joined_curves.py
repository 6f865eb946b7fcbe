"""Curves of several files side by side: every number stands where its delay and bin are."""

import numpy as np

from napari_xpcs.fitting.joined_curves import join_curves
from napari_xpcs.kernels.curves import BinTable, G2Curves


def curves(delay_s: list[float], bins: int, seed: int, *, averaged: bool) -> G2Curves:
    rng = np.random.default_rng(seed)
    shape = (len(delay_s), bins)
    return G2Curves(
        delay_s=np.array(delay_s),
        g2=rng.random(shape),
        error=rng.random(shape),
        bins=BinTable(
            label=np.arange(1, bins + 1),
            q=rng.random(bins),
            phi_deg=rng.random(bins),
            pixels=rng.integers(1, 99, bins),
        ),
        source=f"{seed}.hdf",
        covariance=rng.random((bins, shape[0], shape[0])),
        averaging_s=0.1 * np.array(delay_s) if averaged else None,
    )


def test_every_file_keeps_its_numbers():
    files = [
        curves([1.0, 2.0, 4.0], 2, 1, averaged=False),
        curves([0.5, 2.0, 4.0, 8.0], 3, 2, averaged=True),
    ]
    joined = join_curves(files)
    assert joined.delay_s.tolist() == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert joined.bins.label.tolist() == [1, 2, 1, 2, 3]
    assert joined.covariance is not None
    assert joined.averaging_s is not None
    np.testing.assert_allclose(joined.averaging_s, [0.05, 0.0, 0.2, 0.4, 0.8])
    for file, first in zip(files, (0, 2), strict=True):
        there = np.isin(joined.delay_s, file.delay_s)
        assert file.covariance is not None
        for column in range(len(file.bins)):
            at = first + column
            np.testing.assert_array_equal(joined.g2[there, at], file.g2[:, column])
            np.testing.assert_array_equal(joined.error[there, at], file.error[:, column])
            assert np.isnan(joined.g2[~there, at]).all()
            np.testing.assert_array_equal(
                joined.covariance[at][np.ix_(there, there)], file.covariance[column]
            )
            assert np.isnan(joined.covariance[at][~there]).all()
            assert joined.bins.q[at] == file.bins.q[column]
