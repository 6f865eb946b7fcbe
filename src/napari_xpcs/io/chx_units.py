"""Lengths of NSLS-II CHX, whose files tell m, mm or um without a unit."""

from collections.abc import Mapping

_LONGEST_DISTANCE_M = 100.0
_LARGEST_PIXEL_M = 1e-2

_RULES = (
    ("distance_m", _LONGEST_DISTANCE_M, 1e-3, "mm"),
    ("pixel_row_m", _LARGEST_PIXEL_M, 1e-6, "um"),
    ("pixel_col_m", _LARGEST_PIXEL_M, 1e-6, "um"),
)


def lengths_in_m(
    found: Mapping[str, tuple[float, str]],
) -> tuple[dict[str, tuple[float, str]], tuple[str, ...]]:
    """Return ``found``, (value, origin) by name, with lengths in m, and the doubts in words.

    A detector 100 m away or a pixel of 1 cm does not exist there, so such a number is told in
    the smaller unit that has been seen in these files.
    """
    mended, doubts = dict(found), []
    for name, most, factor, unit in _RULES:
        value, origin = found.get(name, (0.0, ""))
        if value > most:
            mended[name] = (value * factor, origin)
            doubts.append(f"{name} stands as {value:g} in {origin}: it is read in {unit}.")
    return mended, tuple(doubts)
