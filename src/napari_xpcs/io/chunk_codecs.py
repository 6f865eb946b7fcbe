"""Unpacking the chunks of a dataset outside HDF5, whose one lock lets one thread work at a time.

The code that unpacks bitshuffle, LZ4 and Zstandard is that of hdf5plugin's own shared libraries,
called by the names of the C interfaces of those projects; where a build hides the names, there
is no decoder and HDF5 does the work.
"""

import ctypes
import zlib
from collections.abc import Callable
from functools import cache, partial
from struct import Struct
from typing import Any, TypeAlias

import h5py
import hdf5plugin
import numpy as np
from jaxtyping import UInt8

_Bytes: TypeAlias = UInt8[np.ndarray, " byte"]

Decoder: TypeAlias = Callable[[_Bytes, _Bytes], None]
"""Unpacks a stored chunk into an array of the bytes that it must have; may be called by threads.

Raises :class:`DamagedChunkError`.
"""

_SHUFFLE, _BITSHUFFLE = h5py.h5z.FILTER_SHUFFLE, 32008
_ZSTD_IN_BITSHUFFLE = 3
_HEADER = Struct(">QI")
"""Unpacked bytes in all and in a block: what bitshuffle and LZ4 begin with."""
_BLOCK_LENGTH = Struct(">I")


class DamagedChunkError(ValueError):
    """The bytes of a chunk are not what its filter wrote."""


def decoder_of(dataset: h5py.Dataset) -> Decoder | None:
    """Return what unpacks the chunks of ``dataset``, or ``None`` where only HDF5 can."""
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(number) for number in range(properties.get_nfilters())]
    codes = tuple(found[0] for found in filters)
    itemsize = dataset.dtype.itemsize
    if codes == ():
        return _copy
    if codes == (_BITSHUFFLE,):
        return _bitshuffle_decoder(filters[0][2], itemsize)
    if codes[0] == _SHUFFLE and len(codes) == 2:
        packed = _DECODERS.get(codes[1], _none)()
        return None if packed is None else partial(_unshuffle, packed, itemsize)
    return _DECODERS.get(codes[0], _none)() if len(codes) == 1 else None


def _none() -> None:
    return None


def _copy(chunk: _Bytes, out: _Bytes) -> None:
    if chunk.size != out.size:
        raise DamagedChunkError
    out[:] = chunk


def _unshuffle(packed: Decoder, itemsize: int, chunk: _Bytes, out: _Bytes) -> None:
    shuffled = np.empty_like(out)
    packed(chunk, shuffled)
    out.reshape(-1, itemsize)[:] = shuffled.reshape(itemsize, -1).T


def _inflate(chunk: _Bytes, out: _Bytes) -> None:
    try:
        unpacked = zlib.decompress(chunk.data, bufsize=out.size)
    except zlib.error as fault:
        raise DamagedChunkError from fault
    _copy(np.frombuffer(unpacked, np.uint8), out)


@cache
def _function(library: str, name: str, result: Any, *arguments: Any) -> Any | None:
    """Return a C function of a filter of hdf5plugin; calls of it run outside Python's lock."""
    path = hdf5plugin.get_config().registered_filters.get(library)
    try:
        function = getattr(ctypes.CDLL(path), name) if path else None
    except (OSError, AttributeError):
        function = None
    if function is None:
        return None
    function.restype, function.argtypes = result, arguments
    return function


def _bitshuffle_decoder(options: tuple[int, ...], itemsize: int) -> Decoder | None:
    compression = options[4] if len(options) > 4 else 0
    if options[2] != itemsize or compression not in (2, _ZSTD_IN_BITSHUFFLE):
        return None
    name = "zstd" if compression == _ZSTD_IN_BITSHUFFLE else "lz4"
    sizes = [ctypes.c_size_t] * 3
    addresses = [ctypes.c_void_p] * 2
    function = _function("bshuf", f"bshuf_decompress_{name}", ctypes.c_int64, *addresses, *sizes)
    return None if function is None else partial(_unbitshuffle, function, itemsize)


def _unbitshuffle(function: Any, itemsize: int, chunk: _Bytes, out: _Bytes) -> None:
    total, block = _read_header(chunk)
    if total != out.size or block == 0 or block % (8 * itemsize):
        raise DamagedChunkError
    # Eight elements make a group; a rest of less than eight is stored as it is.
    plain = total // itemsize % 8 * itemsize
    # The C function trusts the lengths that are stored between the blocks.
    ends = _walk(chunk, -(-(total - plain) // block))
    if ends + plain != chunk.size:
        raise DamagedChunkError
    start = chunk.ctypes.data + _HEADER.size
    used = function(start, out.ctypes.data, total // itemsize, itemsize, block // itemsize)
    if used != chunk.size - _HEADER.size:
        raise DamagedChunkError


def _read_header(chunk: _Bytes) -> tuple[int, int]:
    if chunk.size < _HEADER.size:
        raise DamagedChunkError
    total, block = _HEADER.unpack_from(chunk.data)
    return total, block


def _walk(chunk: _Bytes, blocks: int) -> int:
    """Return where the last of the ``blocks`` behind the header ends."""
    stored, at, last = chunk.data, _HEADER.size, chunk.size - _BLOCK_LENGTH.size
    length = _BLOCK_LENGTH.unpack_from
    for _ in range(blocks):
        if at > last:
            raise DamagedChunkError
        at += _BLOCK_LENGTH.size + length(stored, at)[0]
    return at


def _lz4_decoder() -> Decoder | None:
    arguments = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
    function = _function("lz4", "LZ4_decompress_safe", ctypes.c_int, *arguments)
    return None if function is None else partial(_unpack_lz4, function)


def _unpack_lz4(function: Any, chunk: _Bytes, out: _Bytes) -> None:
    total, block = _read_header(chunk)
    if total != out.size or block == 0:
        raise DamagedChunkError
    at = _HEADER.size
    for start in range(0, total, block):
        target = out[start : start + block]
        begin = at + _BLOCK_LENGTH.size
        if begin > chunk.size:
            raise DamagedChunkError
        at = begin + _BLOCK_LENGTH.unpack_from(chunk.data, at)[0]
        packed = chunk[begin:at]
        if packed.size != at - begin:
            raise DamagedChunkError
        if packed.size == target.size:  # a block that does not shrink is stored as it is
            target[:] = packed
        elif target.size != function(
            packed.ctypes.data, target.ctypes.data, packed.size, target.size
        ):
            raise DamagedChunkError


def _zstd_decoder() -> Decoder | None:
    arguments = (ctypes.c_void_p, ctypes.c_size_t) * 2
    function = _function("zstd", "ZSTD_decompress", ctypes.c_size_t, *arguments)
    return None if function is None else partial(_unpack_zstd, function)


def _unpack_zstd(function: Any, chunk: _Bytes, out: _Bytes) -> None:
    if out.size != function(out.ctypes.data, out.size, chunk.ctypes.data, chunk.size):
        raise DamagedChunkError


_DECODERS: dict[int, Callable[[], Decoder | None]] = {
    h5py.h5z.FILTER_DEFLATE: lambda: _inflate,
    32004: _lz4_decoder,
    32015: _zstd_decoder,
}
