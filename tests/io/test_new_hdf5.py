"""A disk that is full ends a file in one sentence, and the process in good order."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.io.new_hdf5 import new_hdf5

WRITE = """
import resource, sys
from pathlib import Path
import numpy as np
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.atomic import atomic_path
from napari_xpcs.io.new_hdf5 import new_hdf5

path, most = Path(sys.argv[1]), int(sys.argv[2])
values = np.random.default_rng(0).random((40, 4096))
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    with atomic_path(path) as unfinished, new_hdf5(unfinished) as file:
        file["few"] = np.arange(5)
        many = file.create_dataset("group/many", values.shape, "f8", chunks=(1, 4096))
        for row, part in enumerate(values):
            many[row] = part
            file.check()
        file["last"] = "words"
except FileFormatError as fault:
    sys.exit(str(fault))
"""


@pytest.mark.parametrize("most", [100, 5_000, 100_000, 600_000])
def test_what_does_not_fit_is_told(tmp_path: Path, most: int) -> None:
    path = tmp_path / "new.hdf"
    job = subprocess.run(
        [sys.executable, "-c", WRITE, path, str(most)], capture_output=True, text=True, check=False
    )
    assert job.stderr == f"{path} cannot be written: File too large.\n"
    assert job.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_writer_stays_its_own(tmp_path: Path) -> None:
    with pytest.raises(KeyError), new_hdf5(tmp_path / "new.hdf") as file:
        file["nothing"]


def test_a_copy_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "new.hdf"
    with new_hdf5(path) as file:
        file["old"] = np.arange(3)
    with new_hdf5(path, copied=True) as file:
        file["new"] = np.arange(4)
    with h5py.File(path) as file:
        assert {name: file[name].size for name in file} == {"old": 3, "new": 4}
