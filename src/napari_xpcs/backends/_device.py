"""Where arrays are placed, and how JAX is set up; the only reader of the environment here."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from threading import RLock
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """What the environment asks for."""

    use_jax: str = "auto"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "DeviceConfig":
        """Read the variables."""
        return cls(use_jax=environ.get("XPCS_USE_JAX", "auto").lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """A device."""

    platform: str


class DeviceManager:
    """The one place that chooses the device."""

    _instance: ClassVar["DeviceManager | None"] = None
    _lock: ClassVar[RLock] = RLock()

    def __init__(self) -> None:
        self.config = DeviceConfig.from_environment()

    @classmethod
    def instance(cls) -> "DeviceManager":
        """Return the manager of this process."""
        if cls._instance is None:
            with cls._lock:
                if cls._instance is None:
                    cls._instance = cls()
        return cls._instance

    @classmethod
    def reset(cls) -> None:
        """Forget it."""
        with cls._lock:
            cls._instance = None

    def connect(self) -> None:
        """Set JAX up."""
        import jax

        jax.config.update("jax_enable_x64", True)
