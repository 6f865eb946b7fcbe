"""The doors to napari, HDF5 and matplotlib: everything that passes becomes NumPy here.

With ``XPCS_MONITOR=true`` every door counts what passes and how long the conversion takes,
computation that is still under way included; :func:`conversion_report` tells.
"""

from dataclasses import dataclass
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np

from napari_xpcs.backends._conversions import ensure_numpy
from napari_xpcs.backends._device import DeviceManager


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionCount:
    """What has passed a door: number of arrays, s and bytes in total."""

    count: int = 0
    total_s: float = 0.0
    total_bytes: int = 0

    @property
    def mean_s(self) -> float:
        """Return s per array, 0 where there was none."""
        return self.total_s / self.count if self.count else 0.0


class _Adapter:
    """:func:`ensure_numpy` with a count of its own."""

    destination: str

    def __init__(self) -> None:
        self._lock = Lock()
        self._counted = ConversionCount()

    def to_numpy(self, x: Any) -> np.ndarray[Any, Any]:
        """Return ``x`` as a writable NumPy array.

        Raises
        ------
        ConversionError
            ``x`` is no array of numbers; see :func:`ensure_numpy`.
        """
        if not conversions_monitored():
            return ensure_numpy(x)
        start = perf_counter()
        array = ensure_numpy(x)
        elapsed = perf_counter() - start
        with self._lock:
            before = self._counted
            self._counted = ConversionCount(
                count=before.count + 1,
                total_s=before.total_s + elapsed,
                total_bytes=before.total_bytes + array.nbytes,
            )
        return array

    def counted(self) -> ConversionCount:
        """Return what has passed while monitored."""
        with self._lock:
            return self._counted


class NapariAdapter(_Adapter):
    """Arrays on their way into layers."""

    destination = "napari"


class HDF5Adapter(_Adapter):
    """Arrays on their way into datasets."""

    destination = "HDF5"


class MatplotlibAdapter(_Adapter):
    """Arrays on their way into plots."""

    destination = "matplotlib"


napari_adapter = NapariAdapter()
hdf5_adapter = HDF5Adapter()
matplotlib_adapter = MatplotlibAdapter()

_adapters = (napari_adapter, hdf5_adapter, matplotlib_adapter)


def conversions_monitored() -> bool:
    """Return whether conversions are counted."""
    return DeviceManager.instance().config.monitor


def conversion_report() -> str:
    """Return a line per destination: arrays, mebibytes, total and mean time."""
    if not conversions_monitored():
        return "Conversions to NumPy are not counted; set XPCS_MONITOR=true."
    lines = []
    for adapter in _adapters:
        counted = adapter.counted()
        lines.append(
            f"{adapter.destination:<10} {counted.count:>7} arrays "
            f"{counted.total_bytes / 2**20:>10.1f} MiB "
            f"{counted.total_s:>9.3f} s in total {counted.mean_s * 1e3:>9.3f} ms each"
        )
    return "\n".join(lines)
