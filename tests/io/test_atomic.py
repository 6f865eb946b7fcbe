"""A file is whole or as it was before."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.atomic import atomic_path, refuse_input_as_output


def test_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "new.hdf"
    with atomic_path(path) as unfinished:
        unfinished.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_a_fault_leaves_the_old_file(tmp_path: Path, fault: type[BaseException]) -> None:
    path = tmp_path / "old.hdf"
    path.write_text("old")

    def interrupted() -> None:
        with atomic_path(path, force=True) as unfinished:
            unfinished.write_text("half")
            raise fault

    with pytest.raises(fault):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_never_overwrites_unasked(tmp_path: Path) -> None:
    path = tmp_path / "old.hdf"
    path.write_text("old")
    with pytest.raises(FileFormatError, match="exists already"), atomic_path(path):
        pytest.fail("the block must not run")
    with atomic_path(path, force=True) as unfinished:
        unfinished.write_text("new")
    assert path.read_text() == "new"


def test_what_a_job_reads_is_no_output_by_any_name(tmp_path: Path) -> None:
    source, other = tmp_path / "frames.h5", tmp_path / "bins.hdf"
    for path in (source, other):
        path.write_text("input")
    refuse_input_as_output(tmp_path / "new.hdf", source, other)
    refuse_input_as_output(tmp_path / "new.hdf", tmp_path / "missing.h5")
    link = tmp_path / "link.h5"
    link.symlink_to(source)
    for output in (source, link, tmp_path / "." / "frames.h5"):
        with pytest.raises(FileFormatError, match="is read by this job"):
            refuse_input_as_output(output, other, source)


def test_a_file_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "late.hdf"

    def overtaken() -> None:
        with atomic_path(path) as unfinished:
            unfinished.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(FileFormatError, match="exists already"):
        overtaken()
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_keeps_pointing_at_the_replaced_file(tmp_path: Path) -> None:
    target, link = tmp_path / "target.hdf", tmp_path / "link.hdf"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_path(link, force=True) as unfinished:
        unfinished.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_impossible_places_are_refused(tmp_path: Path) -> None:
    for path, sentence in (
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "such.hdf", "There is no folder"),
        (Path("/proc/version/x.hdf"), "There is no folder"),
    ):
        with pytest.raises(FileFormatError, match=sentence), atomic_path(path):
            pass


def test_what_a_killed_job_began_is_removed_a_day_later(tmp_path: Path) -> None:
    path = tmp_path / "new.hdf"
    killed = (
        "import os, signal, sys\n"
        "from napari_xpcs.io.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as unfinished:\n"
        "    unfinished.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", killed, path], check=False)
    (half,) = tmp_path.iterdir()
    with atomic_path(path) as unfinished:
        unfinished.write_text("whole")
    assert half.exists()  # somebody may be at work on it
    a_day_ago = time.time() - 87000.0
    os.utime(half, (a_day_ago, a_day_ago))
    with atomic_path(path, force=True) as unfinished:
        unfinished.write_text("anew")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "anew"
