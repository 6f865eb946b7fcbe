"""The array backend and the device: what kernels compute with, and where.

Importing this package imports no JAX; the first :func:`get_backend` does.
"""

from typing import TYPE_CHECKING, Any

from napari_xpcs.backends._active import (
    MissingBackendError,
    get_backend,
    reset_backend,
    set_backend,
)
from napari_xpcs.backends._base import BackendProtocol
from napari_xpcs.backends._config import DeviceConfig
from napari_xpcs.backends._conversions import (
    ConversionError,
    ensure_backend_array,
    ensure_numpy,
)
from napari_xpcs.backends._device import DeviceInfo, DeviceManager
from napari_xpcs.backends._numpy_backend import NumPyBackend
from napari_xpcs.backends._report import status_line, system_report

if TYPE_CHECKING:
    from napari_xpcs.backends._jax_backend import JAXBackend

__all__ = [
    "BackendProtocol",
    "ConversionError",
    "DeviceConfig",
    "DeviceInfo",
    "DeviceManager",
    "JAXBackend",
    "MissingBackendError",
    "NumPyBackend",
    "ensure_backend_array",
    "ensure_numpy",
    "get_backend",
    "reset_backend",
    "set_backend",
    "status_line",
    "system_report",
]


def __getattr__(name: str) -> Any:
    """Import JAX only when its backend is asked for by name."""
    if name == "JAXBackend":
        from napari_xpcs.backends._jax_backend import JAXBackend

        return JAXBackend
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
