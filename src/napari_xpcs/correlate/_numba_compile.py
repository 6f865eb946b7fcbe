"""Numba as this program uses it: without the lock of Python, compiled once for each computer."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from platformdirs import user_cache_path

config: Any = numba.config

_one_at_a_time = threading.Lock()


def compiled(function: Callable[..., Any]) -> Any:
    """Compile ``function`` on its first call and keep the machine code in the user's cache.

    Sums may be put into another order (of whole numbers that stay exact) and multiplications
    joined with additions; NaN and infinity keep their meaning.
    """
    # Modules are imported in threads, and the folder is a setting of the whole process.
    with _one_at_a_time, _user_cache() as kept:
        return numba.njit(
            nogil=True,
            cache=kept,
            error_model="numpy",
            fastmath={"contract", "reassoc", "nsz"},
        )(function)


@contextmanager
def _user_cache() -> Iterator[bool]:
    """Let Numba keep code in the user's cache rather than beside an installation, if it can."""
    if config.CACHE_DIR:
        yield True
        return
    folder = Path(user_cache_path("napari-xpcs")) / "numba"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    # Other packages choose for themselves: the folder is read when a function is decorated.
    config.CACHE_DIR = str(folder) if writable else ""
    try:
        yield writable
    finally:
        config.CACHE_DIR = ""
