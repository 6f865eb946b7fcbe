"""The script of docs/how-to/cluster.md, as it stands there but for the lines that are to be edited.

Needs SLURM and dask-jobqueue: XPCS_SLURM_PARTITION=short pytest tests/distributed/test_slurm.py
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs/how-to/cluster.md"
PARTITION = os.environ.get("XPCS_SLURM_PARTITION")
FRAMES = 30_000


def test_the_page_has_lines_to_edit_and_is_python() -> None:
    compile(script(PARTITION="short"), "night.py", "exec")


def script(**values: object) -> str:
    """Return the script of the page with some of its lines edited."""
    text = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    before, lines, behind = re.split(r"# ---- edit .*\n", text)
    for name, value in values.items():
        lines, number = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value!r}", lines)
        assert number == 1, name
    return before + lines + behind


def jobs() -> list[str]:
    listed = subprocess.run(
        ["squeue", "-h", "-t", "R", "-o", "%A"], capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


@pytest.mark.skipif(PARTITION is None, reason="XPCS_SLURM_PARTITION names no partition of SLURM")
def test_a_job_that_is_cancelled_changes_no_number(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "napari_xpcs.cli"]
    steps = (
        ["simulate", "run.h5", "--frames", FRAMES, "--rows", 128, "--cols", 128],
        ["qmap", "run.h5", "-o", "bins.hdf", "--dq", 9, "--sq", 45],
        ["correlate", "run.h5", "--qmap", "bins.hdf", "-o", "here.hdf", "--partials", 3],
    )
    for words in steps:
        subprocess.run([*run, *map(str, words)], cwd=tmp_path, check=True)
    edited = script(ACCOUNT=None, PARTITION=PARTITION, JOBS=2, CORES=1, MEMORY="2GB", NETWORK=None)
    (tmp_path / "night.py").write_text(edited)
    command = ["night.py", *map(str, steps[2][1:4]), "-o", "there.hdf", "--partials", "3"]
    night = subprocess.Popen([sys.executable, *command], cwd=tmp_path)
    while len(jobs()) < 2:
        assert night.poll() is None
        time.sleep(0.2)
    # A worker takes some seconds to start and compile; then it is in the middle of the run.
    time.sleep(float(os.environ.get("XPCS_SLURM_CANCEL_S", "12")))
    assert night.poll() is None
    subprocess.run(["scancel", jobs()[0]], check=True)
    assert night.wait(300) == 0
    assert not jobs()
    with h5py.File(tmp_path / "here.hdf") as here, h5py.File(tmp_path / "there.hdf") as there:
        names: list[str] = []
        here.visit(names.append)
        for name in names:
            if isinstance(here[name], h5py.Dataset) and "/config/" not in name:
                np.testing.assert_array_equal(here[name][()], there[name][()], err_msg=name)
