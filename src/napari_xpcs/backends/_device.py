"""Where arrays are placed, and how JAX is set up."""

import logging
import os
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar, Protocol

from napari_xpcs.backends._cache import CompilationCache, use_compilation_cache
from napari_xpcs.backends._config import DeviceConfig
from napari_xpcs.errors import BackendError

_logger = logging.getLogger("napari_xpcs")

_GPU_PLATFORMS = ("gpu", "cuda", "rocm")


class Device(Protocol):
    """The part of ``jax.Device`` that is used here."""

    @property
    def platform(self) -> str:
        """Return ``cpu``, ``gpu`` or the name of another accelerator."""
        ...

    @property
    def device_kind(self) -> str:
        """Return the model."""
        ...

    @property
    def id(self) -> int:
        """Return the number among the devices of its platform."""
        ...

    def memory_stats(self) -> Mapping[str, int] | None:
        """Return ``bytes_limit`` and ``bytes_in_use`` where the device counts them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """The device in use, for people.

    Parameters
    ----------
    platform, kind, index
        ``cpu`` or ``gpu``, the model, the number among its kind.
    memory_limit_bytes, memory_used_bytes
        On a GPU what JAX may take and has taken; on a CPU the memory of the machine and
        of this process.  ``None`` where it is unknown.
    note
        Why it is not the device that was asked for, or empty.
    """

    platform: str
    kind: str
    index: int
    memory_limit_bytes: int | None
    memory_used_bytes: int | None
    note: str = ""

    def __str__(self) -> str:
        """Return model, number and memory as one phrase."""
        used, limit = _gibibytes(self.memory_used_bytes), _gibibytes(self.memory_limit_bytes)
        return f"{self.kind} ({self.platform} {self.index}), {used} of {limit} memory in use"


class DeviceManager:
    """The one place that chooses the device and sets JAX up for it.

    Use :meth:`instance`; tests build their own with a list of devices.

    Parameters
    ----------
    config
        What is asked for; read from the environment by default.
    list_devices
        Returns the devices there are; asks JAX by default.
    """

    _instance: ClassVar["DeviceManager | None"] = None
    _creation: ClassVar[RLock] = RLock()

    def __init__(
        self,
        config: DeviceConfig | None = None,
        list_devices: Callable[[], Sequence[Any]] | None = None,
    ) -> None:
        self.config = DeviceConfig.from_environment() if config is None else config
        self._list_devices = _jax_devices if list_devices is None else list_devices
        self._lock = RLock()
        self._device: Device | None = None
        self._note = ""
        self._cache: CompilationCache | None = None

    @classmethod
    def instance(cls) -> "DeviceManager":
        """Return the manager of this process; the first call reads the environment.

        Raises
        ------
        BackendError
            A variable has a value it cannot have.
        """
        manager = cls._instance
        if manager is None:
            with cls._creation:
                if cls._instance is None:
                    # Assigned only when complete: other threads test it without the lock.
                    cls._instance = cls()
                manager = cls._instance
        return manager

    @classmethod
    def reset(cls) -> None:
        """Forget the manager; the next use reads the environment again."""
        with cls._creation:
            cls._instance = None

    def device(self) -> Device:
        """Return the chosen device; the first call chooses, which starts JAX.

        Raises
        ------
        BackendError
            A GPU was asked for without fallback and there is none.
        """
        with self._lock:
            if self._device is None:
                self._device, self._note = choose_device(self._list_devices(), self.config)
                if self._note:
                    _logger.warning(self._note)
            return self._device

    def connect(self) -> None:
        """Make JAX compute in float64 on the chosen device, for the whole process.

        Raises
        ------
        BackendError
            A GPU was asked for without fallback and there is none.
        """
        with self._lock:
            if self._cache is not None:
                return
            limit_gpu_memory(self.config, os.environ)
            import jax

            device = self.device()
            _set(jax, "jax_enable_x64", True)
            _set(jax, "jax_default_device", device)
            self._cache = use_compilation_cache(jax, wanted=self.config.compilation_cache)

    def info(self) -> DeviceInfo:
        """Return the chosen device with its memory as it is now."""
        device = self.device()
        stats = device.memory_stats()
        if stats:
            limit, used = stats.get("bytes_limit"), stats.get("bytes_in_use")
        elif device.platform == "cpu":
            limit, used = _machine_memory(), _process_memory()
        else:
            limit, used = None, None
        return DeviceInfo(
            platform="gpu" if device.platform in _GPU_PLATFORMS else device.platform,
            kind=device.device_kind,
            index=device.id,
            memory_limit_bytes=limit,
            memory_used_bytes=used,
            note=self._note,
        )

    def compilation_cache(self) -> CompilationCache:
        """Return where compiled programs are kept, or why not."""
        self.connect()
        if self._cache is None:
            raise RuntimeError("connect() left no cache behind")
        return self._cache


def choose_device(devices: Sequence[Any], config: DeviceConfig) -> tuple[Device, str]:
    """Return the device that ``config`` asks for, and why it is another one if it is.

    Raises
    ------
    BackendError
        A GPU was asked for without fallback and there is none, or there is no device.
    """
    gpus = [device for device in devices if device.platform in _GPU_PLATFORMS]
    cpus = [device for device in devices if device.platform == "cpu"]
    if config.use_gpu and gpus:
        return gpus[0], ""
    if config.use_gpu and not config.gpu_fallback:
        message = (
            "XPCS_USE_GPU asks for a GPU and JAX finds none. Install JAX for your GPU "
            "(pip install 'jax[cuda12]'), or set XPCS_GPU_FALLBACK=true to use the CPU."
        )
        raise BackendError(message)
    if cpus:
        note = "XPCS_USE_GPU asks for a GPU and JAX finds none: computing on the CPU."
        return cpus[0], note if config.use_gpu else ""
    if not devices:
        raise BackendError("JAX finds no device at all; unset JAX_PLATFORMS.")
    note = (
        f"No CPU is open to JAX (JAX_PLATFORMS): computing on {devices[0].device_kind}. "
        "Add cpu to JAX_PLATFORMS to compute on the CPU."
    )
    return devices[0], note


def limit_gpu_memory(config: DeviceConfig, environ: MutableMapping[str, str]) -> None:
    """Tell a JAX that has not started yet how much GPU memory it may take.

    napari draws with the same GPU, so JAX takes memory when it needs it instead of most
    of it at once.  What the user has told JAX in its own variables is left alone.
    """
    environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    # JAX refuses to start where both names of this variable are set.
    names = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
    if config.use_gpu and not any(environ.get(name) for name in names):
        environ[names[0]] = str(config.gpu_memory_fraction)


def _jax_devices() -> list[Any]:
    import jax

    try:
        devices = list(jax.devices())
    except (RuntimeError, AssertionError) as fault:  # JAX asserts where a platform has no device
        reason = (str(fault) or "there is no such device").splitlines()[0]
        message = (
            f"JAX cannot start with JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')!r} "
            f"({reason}). Unset the variable, or set it to cpu."
        )
        raise BackendError(message) from fault
    if all(device.platform != "cpu" for device in devices):
        # JAX_PLATFORMS may leave the CPU out.
        with suppress(RuntimeError):
            devices += jax.devices("cpu")
    return devices


def _set(jax: Any, name: str, value: Any) -> None:
    if getattr(jax.config, name) != value:
        jax.config.update(name, value)


def _machine_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _process_memory() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _gibibytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.1f} GiB"
