"""Memory of blocks that is used again once nobody looks at the block in it."""

import math
import weakref
from typing import Any

import numpy as np
from jaxtyping import Shaped

_KEPT = 2
"""One block is being read while another one is worked on."""


class BlockRooms:
    """Gives room for blocks; for one thread.

    The first touch of new memory costs more than unpacking frames into it.  Room is given again
    only when the array that was handed out and all views of it are gone, so that whoever keeps a
    block keeps its counts; the next ones get new memory then.

    Parameters
    ----------
    frames
        Frames of the longest block.
    frame_shape, dtype
        Rows and columns of a frame, type of a count.
    """

    def __init__(self, frames: int, frame_shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape = (frames, *frame_shape)
        self._dtype = dtype
        self._size = math.prod(self._shape) * dtype.itemsize
        self._rooms: list[tuple[memoryview, weakref.ref[np.ndarray[Any, Any]]]] = []

    def take(self) -> Shaped[np.ndarray, "frame row col"]:
        """Return room for the longest block; what is in it is of no meaning."""
        for number, (memory, lent) in enumerate(self._rooms):
            if lent() is None:
                return self._lend(number, memory)
        memory = np.empty(self._size, np.uint8).data
        return self._lend(len(self._rooms), memory)

    def _lend(self, number: int, memory: memoryview) -> Shaped[np.ndarray, "frame row col"]:
        # All views of this array refer to it, not to the memory: what it lies on is no array.
        lent = np.frombuffer(memory, self._dtype)
        if number < _KEPT:
            self._rooms[number : number + 1] = [(memory, weakref.ref(lent))]
        return lent.reshape(self._shape)
