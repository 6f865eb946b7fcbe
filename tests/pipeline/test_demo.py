"""The demonstration says where it cannot begin."""

from pathlib import Path

import pytest

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import FileFormatError
from napari_xpcs.pipeline.demo import run_demo
from napari_xpcs.progress import run


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    taken = tmp_path / "run.h5"
    taken.write_text("frames")
    with pytest.raises(FileFormatError, match=r"run\.h5 cannot be made: File exists"):
        run(run_demo(taken, xp=NumPyBackend()))
    assert taken.read_text() == "frames"
