"""Images in files other than HDF5: NumPy, TIFF, EDF, CBF and masks of Fit2D."""

import struct
import tokenize
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.frames import LazyFrames, Stored, refuse_impossible_size

ImageKind: TypeAlias = Literal["npy", "tiff", "edf", "cbf", "fit2d-mask"]

_SIGNS: tuple[tuple[bytes, ImageKind], ...] = (
    (b"\x93NUMPY", "npy"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"###CBF", "cbf"),
    (b"M\0\0\0A\0\0\0S\0\0\0K\0\0\0", "fit2d-mask"),
)
_READ_FAULTS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    UnboundLocalError,  # fabio, where a header lacks a line
    ArithmeticError,
    AssertionError,
    EOFError,
    MemoryError,
    RuntimeError,
    UnicodeError,
    SyntaxError,
    tokenize.TokenError,  # numpy, on the header of an .npy
    struct.error,
    zlib.error,
)
"""What the readers of these formats raise on damaged content."""


def image_kind(path: Path) -> ImageKind | None:
    """Return the format that the first bytes of ``path`` show."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return None
    for sign, kind in _SIGNS:
        if start.startswith(sign):
            return kind
    # An EDF header is text in braces; other formats begin with a brace too.
    looks_like_edf = start.lstrip()[:1] == b"{" and b"=" in start and b";" in start
    return "edf" if looks_like_edf else None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    import tifffile

    try:
        # A size that overflows is a damaged header, not a small size.
        with np.errstate(over="raise"):
            yield
    except (*_READ_FAULTS, tifffile.TiffFileError) as fault:
        reason = str(fault).splitlines()[0].rstrip(".") if str(fault) else type(fault).__name__
        msg = f"The image {path.name} cannot be read: {reason}."
        raise FileFormatError(msg) from fault


def load_image(path: Path, kind: ImageKind) -> np.ndarray:
    """Return all that ``path`` holds as one array.

    Raises
    ------
    FileFormatError
        The content is damaged.
    """
    with _reading(path):
        if kind == "npy":
            return np.asarray(np.load(path, allow_pickle=False))
        if kind == "tiff":
            import tifffile

            with tifffile.TiffFile(path) as tiff:
                refuse_impossible_size(path, _tiff_layout(tiff)[0])
                return np.asarray(tiff.series[0].asarray())
        import fabio

        with fabio.open(path) as image:
            if image.nframes == 1:
                return np.asarray(image.data)
            return np.stack([_frame(image, number) for number in range(image.nframes)])


def read_header(path: Path, kind: ImageKind) -> dict[str, str]:
    """Return the texts beside the pixels, by name: lines of a Pilatus TIFF, keys of an EDF."""
    with _reading(path):
        if kind == "tiff":
            import tifffile

            with tifffile.TiffFile(path) as tiff:
                lines = tiff.pages.first.description.splitlines()
            words = [line[1:].split(None, 1) for line in lines if line.startswith("#")]
            return {pair[0].strip(":"): pair[1].strip(" =") for pair in words if len(pair) == 2}
        if kind in ("edf", "cbf"):
            import fabio

            with fabio.open(path) as image:
                return {str(name): str(value) for name, value in image.header.items()}
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFrames(LazyFrames):
    """Frames of an image file, read anew at every look."""

    path: Path
    kind: ImageKind
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    @classmethod
    def open(cls, path: Path, kind: ImageKind) -> "ImageFrames":
        """Look at the shape and the type of the pixels.

        Raises
        ------
        FileFormatError
            Damaged, empty, or not numbers over (row, column) or (frame, row, column).
        """
        with _reading(path):
            if kind == "npy":
                stored = np.load(path, allow_pickle=False, mmap_mode="r")
                shape, dtype = stored.shape, stored.dtype
            elif kind == "tiff":
                import tifffile

                with tifffile.TiffFile(path) as tiff:
                    shape, dtype = _tiff_layout(tiff)
            else:
                import fabio

                with fabio.open(path) as image:
                    shape, dtype = (image.nframes, *image.data.shape), image.data.dtype
        if dtype.kind not in "iuf" or len(shape) not in (2, 3) or 0 in shape:
            msg = (
                f"{path.name} holds {dtype} of the shape {shape}; frames are numbers over "
                "(frame, row, column) or (row, column)."
            )
            raise FileFormatError(msg)
        refuse_impossible_size(path, shape)
        full = (1, *shape) if len(shape) == 2 else shape
        return cls(path=path, kind=kind, shape=full, dtype=dtype.newbyteorder("="))

    def read(self, frames: Stored, rows: Stored, cols: Stored) -> np.ndarray:
        """Return a block of three axes."""
        chosen = np.arange(len(self))[frames]
        with _reading(self.path):
            if self.kind == "npy":
                stored = np.load(self.path, allow_pickle=False, mmap_mode="r")
                block = np.asarray(stored.reshape(self.shape)[frames])
            elif self.kind == "tiff":
                block = self._read_pages(chosen)
            else:
                import fabio

                with fabio.open(self.path) as image:
                    block = np.stack([_frame(image, int(number)) for number in chosen])
        if block.shape[1:] != self.shape[1:]:
            msg = f"The frames of {self.path.name} differ in shape."
            raise FileFormatError(msg)
        return block[:, rows][:, :, cols]

    def _read_pages(self, chosen: np.ndarray) -> np.ndarray:
        import tifffile

        with tifffile.TiffFile(self.path) as tiff:
            if len(tiff.pages) != len(self):  # several frames in one page, or pages of other kinds
                return np.asarray(tiff.series[0].asarray().reshape(self.shape)[chosen])
            # tifffile reads one page as (row, col), several as (page, row, col).
            return np.asarray(tiff.asarray(key=chosen.tolist())).reshape(-1, *self.shape[1:])


def _frame(image: Any, number: int) -> np.ndarray:
    # Of a single image fabio would look for the next file of a series.
    return np.asarray(image.data if image.nframes == 1 else image.getframe(number).data)


def _tiff_layout(tiff: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of the frames: pages of one kind, or the first of several kinds."""
    first = tiff.series[0]
    if tiff.pages.first.samplesperpixel > 1:
        msg = "it is a picture in colour, not counts"
        raise ValueError(msg)
    kinds = {(series.shape[-2:], series.dtype) for series in tiff.series}
    if len(kinds) == 1 and len(tiff.series) > 1:
        return (len(tiff.pages), *first.shape[-2:]), np.dtype(first.dtype)
    return first.shape, np.dtype(first.dtype)
