"""A simulated run is written as the beamline writes one, and comes back."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.open import open_path
from napari_xpcs.io.raw_file import write_raw, write_simulated_events
from napari_xpcs.kernels.geometry import Geometry, complete_geometry
from napari_xpcs.progress import Progress, run

GEOMETRY = Geometry(
    shape=(6, 8),
    energy_kev=10.9,
    distance_m=4.0,
    pixel_row_m=55e-6,
    pixel_col_m=75e-6,
    center_row_px=2.25,
    center_col_px=-3.5,
    swing_horizontal_deg=1.5,
)
TRUTH = {"diffusion_m2_per_s": 5e-14, "contrast": 0.2, "seed": 7, "model": "brownian"}
COUNTS = np.random.default_rng(0).poisson(0.7, (10, 6, 8)).astype(np.uint16)


def blocks(size: int = 4) -> Iterator[np.ndarray]:
    for start in range(0, len(COUNTS), size):
        yield COUNTS[start : start + size]


def steps(path: Path, source: Iterator[np.ndarray] | None = None, **options: object) -> object:
    return write_raw(
        path,
        blocks() if source is None else source,
        frames=10,
        geometry=GEOMETRY,
        frame_time_s=1e-3,
        count_time_s=9e-4,
        truth=TRUTH,
        **options,
    )


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    seen: list[Progress] = []
    assert run(steps(path), seen.append) == path
    assert [progress.done for progress in seen] == [4, 8, 10]
    opened = open_path(path)
    assert isinstance(opened, FramesFile)
    assert opened.layout == "aps-raw"
    np.testing.assert_array_equal(opened.frames[:], COUNTS)
    assert opened.truth == TRUTH
    assert opened.missing == opened.problems == ()
    assert complete_geometry(opened.known, (6, 8)) == GEOMETRY
    assert opened.known["frame_time_s"].value == 1e-3
    assert opened.known["count_time_s"].value == 9e-4


def test_one_bitshuffle_chunk_per_frame(tmp_path: Path) -> None:
    run(steps(tmp_path / "run.h5"))
    with h5py.File(tmp_path / "run.h5") as file:
        data = file["/entry/data/data"]
        assert data.chunks == (1, 6, 8)
        assert data.dtype == np.uint16
        assert "32008" in data._filters


def test_cancel_leaves_nothing(tmp_path: Path) -> None:
    job = steps(tmp_path / "run.h5")
    next(job)
    assert len(list(tmp_path.iterdir())) == 1
    job.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ([COUNTS[:3]], "3 frames came, 10 were announced"),
        ([COUNTS, COUNTS[:1]], "11 frames came"),
        ([COUNTS[:, :5]], "does not fit"),
        ([COUNTS[:4], COUNTS[4:].astype(np.int32)], "does not fit"),
        ([], "0 frames came"),
    ],
)
def test_blocks_that_do_not_fit(tmp_path: Path, source: list[np.ndarray], sentence: str) -> None:
    with pytest.raises(FileFormatError, match=sentence):
        run(steps(tmp_path / "run.h5", iter(source)))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    run(steps(path))
    with pytest.raises(FileFormatError, match="exists already"):
        run(steps(path))
    path.unlink()
    with pytest.raises(FileFormatError, match=r"run_metadata\.hdf exists already"):
        run(steps(path))
    run(steps(path, force=True))
    assert open_path(path).known["energy_kev"].value == 10.9


def test_events_of_a_simulation_come_back_with_geometry_and_truth(tmp_path: Path) -> None:
    path = tmp_path / "run.cmp"
    counts = COUNTS.copy()
    counts[:, 0, :3] = 65535  # behind the beam stop
    steps = write_simulated_events(
        path,
        (counts[start : start + 4] for start in range(0, 10, 4)),
        frames=10,
        geometry=replace(GEOMETRY, swing_horizontal_deg=0.0),
        frame_time_s=1e-3,
        truth=TRUTH,
    )
    seen: list[Progress] = []
    assert run(steps, seen.append) == path
    assert [progress.done for progress in seen] == [4, 8, 10]
    opened = open_path(path)
    assert isinstance(opened, FramesFile)
    assert opened.layout == "chx-cmp"
    np.testing.assert_array_equal(opened.frames[:], np.where(counts == 65535, 0, counts))
    assert opened.known["frame_time_s"].value == 1e-3
    assert opened.known["center_col_px"].value == -3.5
    with h5py.File(tmp_path / "run_metadata.hdf") as file:
        assert file["simulation/diffusion_m2_per_s"][()] == 5e-14


def test_events_under_the_name_of_frames_are_refused(tmp_path: Path) -> None:
    steps = write_simulated_events(
        tmp_path / "run.h5", blocks(), frames=10, geometry=GEOMETRY, frame_time_s=1.0, truth={}
    )
    with pytest.raises(FileFormatError, match=r"run\.h5: events are written as \.cmp"):
        run(steps)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", [".", "", "/"])
def test_a_folder_is_no_place_for_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileFormatError, match="is a folder; give the name of a file"):
        run(steps(Path(place)))
    assert list(tmp_path.iterdir()) == []
