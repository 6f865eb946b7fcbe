"""What the environment asks of a backend; the only reader of ``XPCS_...`` variables."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_xpcs.errors import BackendError

_BOOLEANS = {
    "true": True, "1": True, "yes": True, "on": True,
    "false": False, "0": False, "no": False, "off": False,
}  # fmt: skip

_USE_JAX = ("true", "false", "auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """What is asked for; see the table of variables in ``docs/adr/0001-backends.md``.

    Parameters
    ----------
    use_jax
        ``"true"``, ``"false"`` or ``"auto"``: JAX where it is installed.
    use_gpu
        Prefer a GPU.
    gpu_fallback
        Carry on with the CPU where no GPU is found; otherwise that is an error.
    gpu_memory_fraction
        Share of the memory of the GPU that may be taken, in (0, 1].
    compilation_cache
        Keep compiled programs on disk.
    monitor
        Count and time the conversions to NumPy.

    Raises
    ------
    BackendError
        A value is outside what its description allows.
    """

    use_jax: str = "auto"
    use_gpu: bool = False
    gpu_fallback: bool = True
    gpu_memory_fraction: float = 0.9
    compilation_cache: bool = True
    monitor: bool = False

    def __post_init__(self) -> None:
        if self.use_jax not in _USE_JAX:
            message = f"XPCS_USE_JAX is {self.use_jax!r}; set it to {_alternatives(_USE_JAX)}."
            raise BackendError(message)
        if not 0 < self.gpu_memory_fraction <= 1:
            message = (
                f"XPCS_GPU_MEMORY_FRACTION is {self.gpu_memory_fraction:g}; "
                "set it to a number above 0 and at most 1."
            )
            raise BackendError(message)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "DeviceConfig":
        """Read the ``XPCS_...`` variables; an empty one counts as unset.

        Raises
        ------
        BackendError
            A variable has a value it cannot have.
        """
        values = {
            name: text.strip()
            for name, text in (os.environ if environ is None else environ).items()
            if name.startswith("XPCS_") and text.strip()
        }
        return cls(
            use_jax=_use_jax(values.get("XPCS_USE_JAX", "auto")),
            use_gpu=_boolean(values, "XPCS_USE_GPU", default=False),
            gpu_fallback=_boolean(values, "XPCS_GPU_FALLBACK", default=True),
            gpu_memory_fraction=_number(values, "XPCS_GPU_MEMORY_FRACTION", default=0.9),
            compilation_cache=_boolean(values, "XPCS_COMPILATION_CACHE", default=True),
            monitor=_boolean(values, "XPCS_MONITOR", default=False),
        )


def _alternatives(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _use_jax(text: str) -> str:
    text = text.lower()
    if text in _BOOLEANS:
        return "true" if _BOOLEANS[text] else "false"
    return text


def _boolean(values: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = values.get(name)
    if text is None:
        return default
    if text.lower() not in _BOOLEANS:
        message = f"{name} is {text!r}; set it to {_alternatives(list(_BOOLEANS))}."
        raise BackendError(message)
    return _BOOLEANS[text.lower()]


def _number(values: Mapping[str, str], name: str, *, default: float) -> float:
    text = values.get(name)
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        message = f"{name} is {text!r}; set it to a number above 0 and at most 1."
        raise BackendError(message) from None
