"""Python's garbage collector stops every thread while it walks all objects there are.

With napari, JAX and matplotlib in memory a full walk takes tenths of seconds, in which the window
does not answer; importing and compiling make so many objects that it is done several times.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_pauses = _spans = 0


@contextmanager
def collection_paused() -> Iterator[None]:
    """Collect nothing meanwhile; pauses of several threads may overlap."""
    global _pauses
    with _lock:
        _pauses += 1
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if not _pauses:
                gc.enable()


@contextmanager
def old_objects_passed_over() -> Iterator[None]:
    """Let full walks pass over all objects of now, until the last of such spans ends.

    New ones are collected as ever, so that a job of hours does not fill the memory; nor do many
    jobs, because what has become garbage of the old ones is found afterwards.
    """
    global _spans
    with _lock:
        _spans += 1
        gc.freeze()
    try:
        yield
    finally:
        with _lock:
            _spans -= 1
            if not _spans:
                gc.unfreeze()


def mind_old_objects() -> None:
    """Walk over all objects again, also within a span: something large is about to be freed."""
    gc.unfreeze()
