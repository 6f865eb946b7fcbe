"""Compiled programs kept on disk, so that the second start of a day is quick."""

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

CACHE_LIMIT_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilationCache:
    """Folder of compiled programs; ``None`` with the reason in words where there is none."""

    directory: Path | None
    reason: str = ""

    def __str__(self) -> str:
        """Return the folder, or why there is none."""
        return str(self.directory) if self.directory else f"off: {self.reason}"


def use_compilation_cache(jax: Any, *, wanted: bool) -> CompilationCache:
    """Make ``jax`` keep what it compiles, unless the user has arranged that already.

    Programs are read back only by the same jaxlib on the same kind of processor: others
    have rejected them, or crashed.
    """
    if not wanted:
        return CompilationCache(directory=None, reason="XPCS_COMPILATION_CACHE is false")
    chosen = jax.config.jax_compilation_cache_dir
    if chosen:
        return CompilationCache(directory=Path(chosen))
    directory = user_cache_path("napari-xpcs") / "compiled" / machine_hash(jax.lib.__version__)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        drop_unfinished(directory)
    except OSError as error:
        return CompilationCache(directory=None, reason=f"{directory} cannot be used ({error})")
    # By default JAX keeps nothing that compiles within a second, which is most kernels; single
    # operations are quick to compile, and to keep them costs as much.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_compilation_cache_max_size", CACHE_LIMIT_BYTES)
    jax.config.update("jax_compilation_cache_dir", str(directory))
    return CompilationCache(directory=directory)


def drop_unfinished(directory: Path) -> None:
    """Remove programs that a killed process left half written.

    JAX writes the program, then its time of use; every later write fails on a program that
    has none.
    """
    with FileLock(directory / ".lockfile", timeout=10):  # the lock that JAX itself takes
        for program in directory.glob("*-cache"):
            if not program.with_name(program.name.removesuffix("-cache") + "-atime").exists():
                program.unlink()


def machine_hash(jaxlib_version: str) -> str:
    """Return a name that differs wherever a compiled program could be unfit."""
    facts = "\n".join([jaxlib_version, platform.system(), platform.machine(), _processor()])
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _processor() -> str:
    """Return the instruction sets of the processor where the system tells them, else its name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    lines = (line for line in text.splitlines() if line.startswith(("flags", "Features")))
    return next(lines, platform.processor())
