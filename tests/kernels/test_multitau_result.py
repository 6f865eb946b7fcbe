"""What a multi-tau result says of its own delays."""

import numpy as np
import pytest

from napari_xpcs.kernels.multitau import multitau_lags
from napari_xpcs.kernels.multitau_result import MultiTauResult
from napari_xpcs.kernels.selection import FrameSelection


@pytest.mark.parametrize("per_level", [4, 8])
def test_a_triangle_of_the_width_told_varies_as_the_delays_that_are_averaged(per_level) -> None:
    lags = multitau_lags(300, per_level)
    result = MultiTauResult(
        delay_frames=lags.delay_frames,
        g2=np.ones((len(lags.lag), 1)),
        g2_err=np.ones((len(lags.lag), 1)),
        mean_frame=np.ones((1, 1), np.float32),
        scattering_1d=np.ones(1),
        scattering_1d_segments=np.ones((1, 1)),
        intensity_vs_time=np.ones((2, 300)),
        selection=FrameSelection(end=1800, stride=2, average=3),
        frame_time_s=0.5,
    )
    assert result.averaging_s[0] == 0.0
    for level, lag, delay_s, width_s in zip(
        lags.level, lags.lag, result.delay_s, result.averaging_s, strict=True
    ):
        frames = np.arange(1 << level)
        # Every frame of a sum meets every frame of the sum ``lag`` sums later.
        met = (lag << level) + frames[:, None] - frames
        assert delay_s == pytest.approx(met.mean() * 3.0)
        assert width_s**2 / 6 == pytest.approx(met.var() * 3.0**2)
