"""Results and bins that are not in the layout of today's 8-ID, as rows of the table of formats."""

from collections.abc import Callable
from pathlib import Path

import h5py

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.chx_result import is_chx_result, read_chx_result
from napari_xpcs.io.files import PartitionFile, ResultFile
from napari_xpcs.io.format import Format, Kind, holding
from napari_xpcs.io.hdf5 import reading
from napari_xpcs.io.legacy_result import (
    QMAP_SIGN,
    RESULT_SIGNS,
    read_legacy_qmap,
    read_legacy_result,
)
from napari_xpcs.io.nxxpcs import is_nxxpcs, read_nxxpcs
from napari_xpcs.io.run_header import RunHeader, chx_header, legacy_header, nxxpcs_header


def _row(
    name: str,
    looked_for: str,
    matches: Callable[[Path, h5py.File | None], bool],
    read: Callable[[Path, h5py.File], ResultFile | PartitionFile],
    header: Callable[[Path, h5py.File], RunHeader] | None = None,
    kind: Kind = "results",
) -> Format:
    def open_parts(path: Path, file: h5py.File) -> ResultFile | PartitionFile:
        with reading(path, f"The layout {name}"):
            opened = read(path, file)
        if isinstance(opened, ResultFile):
            _require_something(opened)
        return opened

    return Format(
        name=name,
        kind=kind,
        looked_for=looked_for,
        matches=matches,
        open=open_parts,
        header=header,
    )


def _require_something(result: ResultFile) -> None:
    held = (result.curves, result.twotime, result.scattering, result.partition)
    if all(part is None for part in held):
        msg = (
            f"{result.path.name} has the layout {result.layout} but nothing in it can be read: "
            f"{' '.join((*result.problems, *result.missing))}"
        )
        raise FileFormatError(msg)


OTHER_RESULT_FORMATS: tuple[Format, ...] = (
    _row(
        "aps-legacy-results",
        f"legacy results at {RESULT_SIGNS[0]}",
        holding(*RESULT_SIGNS),
        read_legacy_result,
        legacy_header,
    ),
    _row(
        "aps-legacy-qmap",
        f"a legacy partition at {QMAP_SIGN}",
        holding(QMAP_SIGN),
        read_legacy_qmap,
        kind="partition",
    ),
    _row(
        "nxxpcs",
        "NXxpcs results at /entry/data/g2",
        lambda _, file: file is not None and is_nxxpcs(file),
        read_nxxpcs,
        nxxpcs_header,
    ),
    _row(
        "chx-results",
        "CHX results at g2 and taus",
        lambda _, file: file is not None and is_chx_result(file),
        read_chx_result,
        chx_header,
    ),
)
