"""Which frames of a run are used: the name under which the runs of this folder take it."""

from napari_xpcs.kernels.selection import FrameSelection

__all__ = ["FrameSelection"]
