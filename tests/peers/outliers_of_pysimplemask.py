"""Run by the Python of pySimpleMask: its outliers of the image in a file, case by case."""

import sys

import numpy as np
from pysimplemask.core.outlier_removal import (
    outlier_removal_adjacent_boxes,
    outlier_removal_with_saxs,
)
from pysimplemask.core.partition import generate_partition

given = np.load(sys.argv[1])
image, mask = given["image"], given["mask"]
found = {}
for case in given["cases"]:
    where, rule, cutoff = str(case).split(":")
    if where == "ring":
        rings = generate_partition("q", mask, given["q"], 180, style="linear")
        _, bad = outlier_removal_with_saxs(
            rings["v_list"], rings["partition"], image, method=rule, cutoff=float(cutoff)
        )
    else:
        _, bad = outlier_removal_adjacent_boxes(image, mask, 32, method=rule, cutoff=float(cutoff))
    pixels = np.zeros(image.shape, dtype=bool)
    pixels[tuple(bad)] = True
    found[str(case)] = pixels
np.savez(sys.argv[2], **found)
