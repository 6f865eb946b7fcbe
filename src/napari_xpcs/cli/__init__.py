"""The command line: every step of the plugin without a screen.

Thin on purpose: a command, in the module of its name, reads its options, calls one function
of the package and prints.
Results go to stdout (``--json``: for machines), progress and faults to stderr.
Exit status 0: done; 1: the data or the job failed, with one sentence why; 2: wrong usage;
130: Ctrl-C.
Imports of what is heavy stand in the commands: ``--help`` must be instant.
"""

import signal
import sys

import typer

from napari_xpcs.cli._console import print_conversions, print_fault
from napari_xpcs.cli.average import average
from napari_xpcs.cli.convert import convert
from napari_xpcs.cli.correlate import correlate
from napari_xpcs.cli.demo import demo
from napari_xpcs.cli.fit import fit
from napari_xpcs.cli.info import info
from napari_xpcs.cli.open import open_files
from napari_xpcs.cli.qmap import qmap
from napari_xpcs.cli.simulate import simulate
from napari_xpcs.errors import ChoiceError, XpcsError

app = typer.Typer(
    name="napari-xpcs",
    help="X-ray photon correlation spectroscopy: from frames to g2 to dynamics.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, info, simulate, qmap, correlate, fit, average, convert):
    app.command()(command)
app.command("open")(open_files)


def main() -> None:
    """Run the command line; expected faults end it with one sentence and status 1 or 2."""
    signal.signal(signal.SIGTERM, _end)
    try:
        try:
            app()
        finally:
            print_conversions()
    except (XpcsError, OSError) as error:
        print_fault(error)
        sys.exit(2 if isinstance(error, ChoiceError) else 1)
    except MemoryError as error:
        print_fault(f"There is not enough memory for this: {error or 'none is left'}.")
        sys.exit(1)


def _end(signal_number: int, _frame: object) -> None:
    """End as Ctrl-C does, so that half-written files are removed."""
    sys.exit(128 + signal_number)
