"""The used pixels of a detector in slabs of tiles, as the multi-tau sums of rows take them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, Shaped

_SHORT = 24
"""Runs of neighbouring pixels that are shorter on average are taken pixel by pixel."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelSlab:
    """Used pixels that follow each other, cut into tiles of one width.

    Parameters
    ----------
    here
        Which of the used pixels.
    parts
        For every tile, pixels inside it and their places in the flattened detector.
    width
        Pixels of a tile; the last one may be filled in part only.
    """

    here: slice
    parts: tuple[tuple[tuple[slice, slice | Int[np.ndarray, " pixel"]], ...], ...]
    width: int

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self.here.stop - self.here.start)

    def fill(
        self,
        frames: Shaped[np.ndarray, "frame place"],
        weight: Float[np.ndarray, " frame"] | None,
        into: Shaped[np.ndarray, "tile frame pixel"],
    ) -> None:
        """Put counts, each times the weight of its frame, into tiles.

        What no pixel of the slab or no frame belongs to is left as it was.
        """
        for number, parts in enumerate(self.parts):
            tile = into[number, : len(frames)]
            for inside, places in parts:
                if isinstance(places, slice):
                    counts = frames[:, places]
                else:
                    counts = np.take(frames, places, axis=1, mode="clip")
                if weight is None:
                    tile[:, inside] = counts
                else:
                    np.multiply(counts, weight[:, None], out=tile[:, inside])

    def pairs(
        self, rows: Shaped[np.ndarray, "*row pixel"], tiles: Shaped[np.ndarray, "tile *row pixel"]
    ) -> Iterator[tuple[Shaped[np.ndarray, "..."], Shaped[np.ndarray, "..."]]]:
        """Yield views of rows of all used pixels, tile by tile, with the views of tiles there.

        First all full tiles, then the one that is filled in part, if there is one.
        """
        here = rows[..., self.here]
        full, rest = divmod(self.pixels, self.width)
        cut = here[..., : full * self.width].reshape(*here.shape[:-1], full, self.width)
        yield np.moveaxis(cut, -2, 0), tiles[:full]
        if rest:
            yield here[None, ..., -rest:], tiles[full : full + 1, ..., :rest]


def cut_slabs(index: Int[np.ndarray, " pixel"], tiles: int, width: int) -> tuple[PixelSlab, ...]:
    """Return the pixels at ``index``, places in a detector, in slabs of up to ``tiles`` tiles."""
    length = tiles * width
    return tuple(
        PixelSlab(
            here=slice(start, min(start + length, len(index))),
            parts=tuple(
                _parts(index[at : min(at + width, start + length)])
                for at in range(start, min(start + length, len(index)), width)
            ),
            width=width,
        )
        for start in range(0, len(index), length)
    )


def _parts(
    places: Int[np.ndarray, " pixel"],
) -> tuple[tuple[slice, slice | Int[np.ndarray, " pixel"]], ...]:
    """Return runs of neighbours, or all pixels in one part where there are too many runs."""
    cuts = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
    if (len(cuts) - 1) * _SHORT > len(places):
        return ((slice(0, len(places)), places),)
    return tuple(
        (slice(a, b), slice(int(places[a]), int(places[a]) + b - a)) for a, b in pairwise(cuts)
    )
