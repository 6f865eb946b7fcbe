"""What this process computes with, for people and for bug reports."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import napari_xpcs
from napari_xpcs.backends._active import get_backend
from napari_xpcs.backends._device import DeviceManager

_PACKAGES = ("jax", "jaxlib", "numpy", "optimistix", "numpyro", "h5py", "hdf5plugin", "napari")


def system_report() -> dict[str, Any]:
    """Return backend, device, memory, cache and versions, ready for JSON.

    Starts the backend where nothing has yet.

    Returns
    -------
    dict
        ``backend``, ``device`` (a phrase), ``platform``, ``memory_limit_bytes`` and
        ``memory_used_bytes`` (``None`` where unknown), ``note`` (why it is not the
        device that was asked for), ``float64``, ``compilation_cache`` (folder, or why
        there is none), ``machine``, ``versions``.

    Raises
    ------
    BackendError
        The backend or the device that was asked for cannot be had.
    """
    backend = get_backend()
    report: dict[str, Any] = {"backend": backend.name}
    if backend.supports_jit:
        manager = DeviceManager.instance()
        # A reset_backend() of another thread may have left a manager that knows no JAX yet.
        manager.connect()
        device = manager.info()
        report |= {
            "device": str(device),
            "platform": device.platform,
            "memory_limit_bytes": device.memory_limit_bytes,
            "memory_used_bytes": device.memory_used_bytes,
            "note": device.note,
            "compilation_cache": str(manager.compilation_cache()),
        }
    else:
        report |= {
            "device": platform.processor() or platform.machine(),
            "platform": "cpu",
            "note": "",
            "compilation_cache": "off: NumPy does not compile",
        }
    report["float64"] = backend.asarray(1.0).dtype == backend.float64
    report["machine"] = f"{platform.system()} {platform.machine()}"
    report["versions"] = {
        "napari-xpcs": napari_xpcs.__version__,
        "python": platform.python_version(),
    } | _versions()
    return report


def status_line() -> str:
    """Return backend and device in one line, as docks show it."""
    report = system_report()
    precision = "float64" if report["float64"] else "float32"
    line = f"{report['backend']} on {report['device']}, {precision}"
    return f"{line}. {report['note']}" if report["note"] else line


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
