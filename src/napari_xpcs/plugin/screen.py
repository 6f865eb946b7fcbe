"""Is there a screen, and a virtual one for pictures where there is none."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from qtpy.QtWidgets import QApplication

from napari_xpcs.errors import XpcsError

OPTIONS = ("-screen", "0", "1600x1000x24", "-nolisten", "tcp", "-terminate")


def has_screen() -> bool:
    """Return whether a window could be shown to somebody."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def virtual_screen() -> Iterator[None]:
    """Run Xvfb and point Qt to it; enter this before Qt starts.

    Where Qt started, it holds the screen until the process ends, and Xvfb ends just after: Qt
    would else complain of the lost screen and end the process itself.

    Raises
    ------
    XpcsError
        Xvfb is not installed, or did not start.
    """
    program = shutil.which("Xvfb")
    if program is None:
        msg = (
            "There is no screen and no Xvfb to draw pictures on; "
            "on Debian, apt-get install xvfb brings one."
        )
        raise XpcsError(msg)
    readable, writable = os.pipe()
    server = subprocess.Popen(
        # With -terminate it ends when the last program that uses it has.
        [program, *OPTIONS, "-displayfd", str(writable)],
        pass_fds=(writable,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writable)
    try:
        with os.fdopen(readable) as answer:
            number = answer.readline().strip()
        if not number:
            msg = "There is no screen, and Xvfb ended without giving one."
            raise XpcsError(msg)
        os.environ["DISPLAY"] = f":{number}"
        yield
    finally:
        os.environ.pop("DISPLAY", None)
        if QApplication.instance() is None:
            server.terminate()
            server.wait()
