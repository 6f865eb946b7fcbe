"""What two runs differ by, in words, and which of their bins belong together."""

from dataclasses import replace

import numpy as np

from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.kernels.same_bins import delay_differences, same_bin, table_differences


def table(q, phi=None):
    q = np.asarray(q, dtype=float)
    return BinTable(
        label=np.arange(1, len(q) + 1),
        q=q,
        phi_deg=np.zeros(len(q)) if phi is None else np.asarray(phi, dtype=float),
        pixels=np.ones(len(q), dtype=np.int64),
    )


def curves(bins):
    g2 = np.ones((3, len(bins)))
    return G2Curves(delay_s=np.array([1.0, 2.0, 4.0]), g2=g2, error=g2, bins=bins)


def test_differences_of_bins_are_told():
    first = table([0.01, 0.02])
    assert list(table_differences(first, first)) == []
    assert list(table_differences(first, table([0.01, 0.02, 0.03]))) == ["they have 3 and 2 bins"]
    assert list(table_differences(first, table([0.01, 0.021]))) == ["their bins lie at another q"]
    assert list(table_differences(first, table([0.01, 0.02], [0, 90]))) == [
        "their bins lie at another phi"
    ]


def test_times_of_float32_are_the_same_delays():
    delays = np.array([2e-5, 4e-5, 6e-5])
    assert list(delay_differences(delays, delays.astype(np.float32).astype(float))) == []
    assert "delay 2 is 5e-05 s" in next(delay_differences(delays, np.array([2e-5, 5e-5, 6e-5])))


def test_the_nearest_q_is_the_same_bin_but_none_that_is_far():
    first = curves(table([0.01, 0.02, 0.04]))
    other = curves(table([0.0195, 0.0098]))
    assert same_bin(first, 1, other) == 0
    assert same_bin(first, 0, other) == 1
    assert same_bin(first, 2, other) is None
    unknown = replace(first, bins=table([np.nan] * 3))
    assert same_bin(first, 2, unknown) == 2
