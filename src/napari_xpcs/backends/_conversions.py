"""From any array to NumPy and back: called at the edges, where files, layers and plots begin."""

from typing import Any

import numpy as np

from napari_xpcs._typing import Array
from napari_xpcs.errors import BackendError


class ConversionError(BackendError, TypeError):
    """Something that is no array of numbers was given for one."""


def ensure_numpy(x: Any) -> np.ndarray[Any, Any]:
    """Return ``x`` as a writable NumPy array.

    Parameters
    ----------
    x
        Array of either backend, anything with ``__array__``, nested lists, a scalar.

    Returns
    -------
    numpy.ndarray
        ``x`` itself where it already is a writable array, otherwise a copy.

    Raises
    ------
    ConversionError
        ``x`` is ragged, masked, traced by ``jit``, or of a kind that NumPy could only hold as
        Python objects.

    Examples
    --------
    >>> ensure_numpy([1, 2.5])
    array([1. , 2.5])
    """
    array = host_array(x)
    return array if array.flags.writeable else array.copy()


def host_array(x: Any) -> np.ndarray[Any, Any]:
    """Return ``x`` as a NumPy array that may be read-only and share its memory.

    Raises
    ------
    ConversionError
        As :func:`ensure_numpy` says.
    """
    if isinstance(x, np.ma.MaskedArray):
        message = (
            "A masked array was given where plain numbers were expected: its mask would be lost. "
            "Call .filled(nan) on it first."
        )
        raise ConversionError(message)
    try:
        array = np.asarray(x)
    except (TypeError, ValueError) as error:
        message = (
            f"{type(x).__name__} cannot become an array of numbers. "
            "Give values of one shape, and none that jit is tracing."
        )
        raise ConversionError(message) from error
    if array.dtype.hasobject:
        message = (
            f"{type(x).__name__} holds Python objects where numbers were expected; "
            "give an array with a numeric type."
        )
        raise ConversionError(message)
    return array


def ensure_backend_array(x: Any, dtype: Any = None) -> Array:
    """Return ``x`` as an array of the active backend.

    An array that already lives there is returned as it is: no trip from the device to
    the host and back.

    Raises
    ------
    ConversionError
        ``x`` is no array of numbers.
    """
    from napari_xpcs.backends._active import get_backend

    return get_backend().asarray(x, dtype)
