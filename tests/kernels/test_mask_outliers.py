"""Regions that pixels are compared within."""

from napari_xpcs.kernels.mask_outliers import tile_regions


def test_tiles_start_at_the_first_pixel_and_leave_out_what_is_over():
    assert tile_regions((5, 7), 2).tolist() == [
        [1, 1, 2, 2, 3, 3, 0],
        [1, 1, 2, 2, 3, 3, 0],
        [4, 4, 5, 5, 6, 6, 0],
        [4, 4, 5, 5, 6, 6, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    assert not tile_regions((3, 3), 4).any()
