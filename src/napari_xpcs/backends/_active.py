"""Which backend this process computes on: one, found at first use."""

import logging
from threading import RLock

from napari_xpcs.backends._base import BackendProtocol
from napari_xpcs.backends._device import DeviceManager
from napari_xpcs.backends._numpy_backend import NumPyBackend
from napari_xpcs.errors import BackendError

BACKEND_NAMES = ("jax", "numpy")

_logger = logging.getLogger("napari_xpcs")

_lock = RLock()
_active: BackendProtocol | None = None


class MissingBackendError(BackendError, ImportError):
    """The backend that was asked for is not installed."""


def get_backend() -> BackendProtocol:
    """Return the backend of this process.

    The first call decides: what ``XPCS_USE_JAX`` asks for, JAX where it is installed by
    default.  It is cheap afterwards.

    Raises
    ------
    MissingBackendError
        ``XPCS_USE_JAX=true`` and JAX is not installed.
    BackendError
        A variable of the environment has a value it cannot have, or the device that was
        asked for is not there.
    """
    global _active
    backend = _active
    if backend is None:
        with _lock:
            if _active is None:
                _active = _make(_wanted())
            backend = _active
    return backend


def set_backend(name: str) -> BackendProtocol:
    """Compute on ``"jax"`` or ``"numpy"`` from now on, and return that backend.

    Raises
    ------
    MissingBackendError
        JAX is asked for and not installed.
    BackendError
        There is no backend of that name.
    """
    global _active
    if name not in BACKEND_NAMES:
        message = f"There is no backend {name!r}; choose one of {', '.join(BACKEND_NAMES)}."
        raise BackendError(message)
    with _lock:
        _active = _make(name)
        return _active


def reset_backend() -> None:
    """Forget the backend and the device; the next use reads the environment again.

    Compiled functions are kept.
    """
    global _active
    with _lock:
        _active = None
        DeviceManager.reset()


def _wanted() -> str:
    use_jax = DeviceManager.instance().config.use_jax
    if use_jax == "auto":
        return "jax" if _jax_can_be_imported() else "numpy"
    return "jax" if use_jax == "true" else "numpy"


def _jax_can_be_imported() -> bool:
    try:
        import jax  # noqa: F401 - only whether it works is asked
    except ModuleNotFoundError as error:
        if error.name != "jax":
            _logger.warning("JAX lacks a part of itself (%s): computing with NumPy.", error)
        return False
    except ImportError as error:
        _logger.warning("JAX is installed but broken (%s): computing with NumPy.", error)
        return False
    return True


def _make(name: str) -> BackendProtocol:
    if name == "numpy":
        return NumPyBackend()
    try:
        from napari_xpcs.backends._jax_backend import JAXBackend
    except ImportError as error:
        message = (
            f"The JAX backend was asked for and cannot be imported ({error}). Install it with "
            "'pip install jax', or set XPCS_USE_JAX=false to compute with NumPy."
        )
        raise MissingBackendError(message) from error
    return JAXBackend()
