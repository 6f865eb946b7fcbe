"""Files of events as rows of the table of formats."""

import re
from collections.abc import Callable
from pathlib import Path

import h5py

from napari_xpcs.io.chx_cmp import is_cmp, read_cmp
from napari_xpcs.io.events import EventRun
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.format import Format
from napari_xpcs.io.imm import is_imm, read_imm
from napari_xpcs.io.known_geometry import NEEDED
from napari_xpcs.io.metadata_file import read_metadata
from napari_xpcs.io.rigaku import is_rigaku, read_rigaku

_MODULE_NUMBER = re.compile(r"\.\d{3}$")


def _row(name: str, is_one: Callable[[Path], bool], read: Callable[[Path], EventRun]) -> Format:
    def matches(path: Path, file: h5py.File | None) -> bool:
        return file is None and is_one(path)

    def open_run(path: Path, _: h5py.File | None) -> FramesFile:
        return _frames_file(path, name, read(path))

    return Format(name=name, kind="events", matches=matches, open=open_run)


def _frames_file(path: Path, layout: str, run: EventRun) -> FramesFile:
    if run.known is not None:
        return FramesFile(
            path=path,
            layout=layout,
            frames=run.frames,
            known=run.known,
            mask=run.mask,
            problems=run.problems,
            missing=tuple(
                f"{name} (looked for in the header)"
                for name in NEEDED
                if run.known[name].value is None
            ),
        )
    # The modules of one detector share the metadata file of the run.
    named = path.with_name(_MODULE_NUMBER.sub("", path.name))
    metadata_path, report, doubts, missing = read_metadata(named, None)
    return FramesFile(
        path=path,
        layout=layout,
        frames=run.frames,
        known=report.known,
        mask=run.mask,
        metadata_path=metadata_path,
        problems=(*run.problems, *doubts, *report.problems),
        missing=(*missing, *report.missing),
    )


EVENT_FORMATS: tuple[Format, ...] = (
    _row("chx-cmp", is_cmp, read_cmp),
    _row("imm", lambda path: path.suffix.lower() == ".imm" and is_imm(path), read_imm),
    _row("rigaku", is_rigaku, read_rigaku),
)
"""Told by their first bytes; IMM and Rigaku, which begin without a sign, by their names too."""
