"""What detectors and beamlines write, real where there is a file, else made in their layout."""

import gzip
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.describe import describe
from napari_xpcs.io.files import FramesFile
from napari_xpcs.io.hdf5_frames import SeveralFramesError
from napari_xpcs.io.open import open_path

FRAMES = np.random.default_rng(1).poisson(3, (10, 12, 16)).astype(np.uint32)


def opened(path: Path, dataset: str | None = None) -> FramesFile:
    run = open_path(path, dataset)
    assert isinstance(run, FramesFile)
    return run


def values(run: FramesFile) -> dict[str, float]:
    return {name: known.value for name, known in run.known.items() if known.value is not None}


# -- DECTRIS, legacy


def dectris_master(folder: Path, parts: int = 3, there: int = 3, group: str = "entry/data") -> Path:
    path = folder / "run_master.h5"
    for number in range(1, there + 1):
        with h5py.File(folder / f"run_data_{number:06d}.h5", "w") as data:
            data.create_dataset(
                "entry/data/data",
                data=FRAMES[4 * number - 4 : 4 * number],
                chunks=(1, 12, 16),
                **hdf5plugin.Bitshuffle(),
            )
    with h5py.File(path, "w") as file:
        for number in range(1, parts + 1):
            file[f"{group}/data_{number:06d}"] = h5py.ExternalLink(
                f"run_data_{number:06d}.h5", "/entry/data/data"
            )
        detector = file.create_group("entry/instrument/detector")
        for name, value, unit in (
            ("frame_time", 0.002, "s"),
            ("count_time", 0.00199, "s"),
            ("beam_center_x", 7.5, "pixel"),
            ("beam_center_y", 5.25, "pixel"),
            ("detector_distance", 4.5, "m"),
            ("x_pixel_size", 7.5e-5, "m"),
            ("y_pixel_size", 7.5e-5, "m"),
        ):
            detector[name] = np.float32(value)
            detector[name].attrs["units"] = np.bytes_(unit)
        file["entry/instrument/beam/incident_wavelength"] = np.float32(1.25)
        specific = detector.create_group("detectorSpecific")
        specific["nimages"] = np.uint32(10)
        specific["ntrigger"] = np.uint32(1)
        flags = np.zeros((12, 16), np.uint32)
        flags[0, :4] = [1, 2, 16, 1 << 31]
        specific["pixel_mask"] = flags
    return path


@pytest.mark.parametrize("group", ["entry/data", "entry"])
def test_dectris_master(tmp_path: Path, group: str) -> None:
    run = opened(dectris_master(tmp_path, group=group))
    assert (run.layout, run.frames.shape, run.frames.dtype) == ("dectris", (10, 12, 16), np.uint32)
    np.testing.assert_array_equal(run.frames[2:9], FRAMES[2:9])
    known = values(run)
    assert known["energy_kev"] == pytest.approx(12.398419843320026 / 1.25)
    assert known["distance_m"] == 4.5
    assert (known["center_row_px"], known["center_col_px"]) == (5.25, 7.5)
    assert known["frame_time_s"] == pytest.approx(0.002)
    assert run.known["energy_kev"].origin == "/entry/instrument/beam/incident_wavelength"
    assert run.mask is not None
    assert np.argwhere(~run.mask).tolist() == [[0, 0], [0, 1], [0, 2]]
    assert run.problems == run.missing == ()


def test_dectris_links_that_dangle_are_named(tmp_path: Path) -> None:
    run = opened(dectris_master(tmp_path, parts=3, there=2))
    assert len(run.frames) == 8
    assert "run_data_000003.h5, which is missing" in run.problems[0]
    assert "announces 10 frames (nimages x ntrigger), 8 are there" in run.problems[1]
    for number in (1, 2):
        (tmp_path / f"run_data_{number:06d}.h5").unlink()
    with pytest.raises(FileFormatError, match=r"run_data_000001\.h5, which is missing"):
        opened(tmp_path / "run_master.h5")


def test_spare_links_behind_the_last_file_do_no_harm(tmp_path: Path) -> None:
    run = opened(dectris_master(tmp_path, parts=5, there=3))
    assert len(run.frames) == 10
    assert "data_000004 and 1 more" in run.problems[0]


def test_dectris_run_that_is_still_being_written(tmp_path: Path) -> None:
    path = dectris_master(tmp_path)
    with h5py.File(tmp_path / "run_data_000002.h5", "w") as data:
        frames = data.create_dataset("entry/data/data", (4, 12, 16), np.uint32, chunks=(1, 12, 16))
        frames[0] = FRAMES[4]
    run = opened(path)
    np.testing.assert_array_equal(run.frames[:], FRAMES[:5])


# -- DECTRIS 2024.2: four axes, a virtual dataset


def dectris_2024(folder: Path, channels: int) -> Path:
    names = ["threshold_1", "threshold_2", "difference"][:channels]
    stored = np.stack([FRAMES + 100 * number for number in range(channels)], axis=1)
    with h5py.File(folder / "run_data_000001.h5", "w") as data:
        data["entry/data/data"] = stored
    layout = h5py.VirtualLayout(stored.shape, stored.dtype)
    layout[:] = h5py.VirtualSource("run_data_000001.h5", "/entry/data/data", stored.shape)
    path = folder / "run.h5"
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
        file["entry/data/channel"] = names
        file["entry/definition"] = "NXmx"
        for number, name in enumerate(names):
            flags = np.zeros((12, 16), np.uint32)
            flags[number, 3] = 1
            file[f"entry/instrument/detector/{name}_channel/pixel_mask"] = flags
        detector = file["entry/instrument/detector"]
        detector["distance"] = 3000.0
        detector["distance"].attrs["units"] = "mm"
        file["entry/instrument/beam/incident_energy"] = 9000.0
        file["entry/instrument/beam/incident_energy"].attrs["units"] = "eV"
    return path


def test_dectris_channels_are_a_choice(tmp_path: Path) -> None:
    path = dectris_2024(tmp_path, 3)
    with pytest.raises(SeveralFramesError, match="threshold_2") as choice:
        open_path(path)
    assert choice.value.candidates[2] == "/entry/data/data[difference]"
    assert describe(path)["kind"] == "frames"
    assert "threshold_2" in describe(path)["problems"][0]
    assert describe(path, "/entry/data/data[1]")["shape"] == [10, 12, 16]
    for name, number in (("threshold_2", 1), ("difference", 2), ("2", 2)):
        run = opened(path, f"/entry/data/data[{name}]")
        assert (run.layout, run.frames.shape) == ("dectris-2024.2", (10, 12, 16))
        np.testing.assert_array_equal(run.frames[3:5], FRAMES[3:5] + 100 * number)
        np.testing.assert_array_equal(run.frames[[0, 7], 4], FRAMES[[0, 7], 4] + 100 * number)
    with pytest.raises(FileFormatError, match="threshold_1"):
        open_path(path, "/entry/data/data[threshold_9]")


def test_dectris_single_channel_opens_at_once(tmp_path: Path) -> None:
    run = opened(dectris_2024(tmp_path, 1))
    np.testing.assert_array_equal(run.frames[:], FRAMES)
    assert (values(run)["distance_m"], values(run)["energy_kev"]) == (3.0, 9.0)
    assert run.mask is not None
    assert np.argwhere(~run.mask).tolist() == [[0, 3]]


# -- Diamond


def test_diamond_with_its_meta_file(tmp_path: Path, shared_data: Path) -> None:
    """The real master; its frame files are absent, two made frames stand in for them."""
    (tmp_path / "ins_8_5.nxs").write_bytes((shared_data / "diamond/ins_8_5.nxs").read_bytes())
    with h5py.File(tmp_path / "ins_8_5_000001.h5", "w") as file:
        data = file.create_dataset(
            "data", (2, 4362, 4148), np.int32, chunks=(1, 4362, 4148), **hdf5plugin.Bitshuffle()
        )
        data[0] = data[1] = 3
    run = opened(tmp_path / "ins_8_5.nxs")
    assert (run.layout, run.frames.shape) == ("nxmx", (2, 4362, 4148))
    assert "announces 3600 frames" in run.problems[0]
    assert "ins_8_5_000002.h5" in run.problems[0]
    assert run.frames[1, 4000, 4000] == 3
    assert any("ins_8_5_meta.h5, which is missing" in problem for problem in run.problems)
    assert run.mask is None
    packed = (shared_data / "diamond/ins_8_5_meta.h5.gz").read_bytes()
    (tmp_path / "ins_8_5_meta.h5").write_bytes(gzip.decompress(packed))
    with h5py.File(tmp_path / "ins_8_5_meta.h5", "r+") as file:  # its mask was blanked
        file["mask"][7, :3] = 1
    run = opened(tmp_path / "ins_8_5.nxs")
    assert run.mask is not None
    assert np.argwhere(~run.mask).tolist() == [[7, 0], [7, 1], [7, 2]]
    known = run.known["distance_m"]
    assert (known.value, known.origin) == (0.34, "/entry/instrument/detector/detector_distance")
    assert known.others == ((0.2729, "ins_8_5_meta.h5:/_dectris/detector_distance"),)
    assert run.known["energy_kev"].value == pytest.approx(12.69999, rel=1e-5)
    assert run.known["frame_time_s"].value is None


def test_diamond_without_frames_names_them(shared_data: Path) -> None:
    with pytest.raises(FileFormatError, match=r"ins_8_5_000001\.h5 and 3 more cannot be found"):
        open_path(shared_data / "diamond/ins_8_5.nxs")


# -- ESRF


def lima(path: Path, place: str = "entry_0000/ESRF-ID10/eiger1") -> Path:
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file[f"{place}/data"] = FRAMES
        file[f"{place}/acquisition/exposure_time"] = 0.009
        file[f"{place}/acquisition/latency_time"] = 0.001
        file[f"{place}/acquisition/nb_frames"] = 10
        file["entry_0000/measurement/data"] = h5py.SoftLink(f"/{place}/data")
    return path


@pytest.mark.parametrize(
    "place", ["entry_0000/ESRF-ID10/eiger1", "entry_0000/instrument/id02-eiger2-saxs"]
)
def test_lima(tmp_path: Path, place: str) -> None:
    run = opened(lima(tmp_path / "eiger1_0000.h5", place))
    assert run.layout == "esrf-lima"
    np.testing.assert_array_equal(run.frames[:], FRAMES)
    assert values(run) == {"frame_time_s": pytest.approx(0.01), "count_time_s": 0.009}
    assert "exposure_time + " in run.known["frame_time_s"].origin
    assert [gap.split(" ")[0] for gap in run.missing][:2] == ["energy_kev", "distance_m"]


def bliss(folder: Path, scans: int) -> Path:
    path = folder / "dataset.h5"
    with h5py.File(path, "w") as file:
        for scan in range(1, scans + 1):
            layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
            source = f"scan{scan:04d}/eiger_0000.h5"
            layout[:] = h5py.VirtualSource(source, "entry_0000/ESRF-ID10/eiger1/data", FRAMES.shape)
            detector = file.create_group(f"{scan}.1/instrument/eiger")
            detector.create_virtual_dataset("data", layout)
            detector["acq_parameters/acq_expo_time"] = 0.5
            detector["acq_parameters/latency_time"] = 0
            file[f"{scan}.1/measurement/eiger"] = h5py.SoftLink(f"/{detector.name}/data")
    return path


def test_bliss_master(tmp_path: Path) -> None:
    path = bliss(tmp_path, 2)
    lima(tmp_path / "scan0001/eiger_0000.h5")
    run = opened(path)
    assert (run.layout, run.frames.shape) == ("esrf-bliss", FRAMES.shape)
    assert values(run)["frame_time_s"] == 0.5
    assert "scan0002/eiger_0000.h5 cannot be found" in run.problems[0]
    lima(tmp_path / "scan0002/eiger_0000.h5")
    with pytest.raises(SeveralFramesError, match=r"/2\.1/instrument/eiger/data \(10, 12, 16\)"):
        open_path(path)
    assert len(opened(path, "/2.1/instrument/eiger/data").frames) == 10
    assert values(opened(path, "/2.1/instrument/eiger/data"))["count_time_s"] == 0.5


def test_real_bliss_master_names_the_missing_lima_file(shared_data: Path) -> None:
    with pytest.raises(FileFormatError, match=r"/1\.1/instrument/marana/data.*marana_0000\.h5"):
        open_path(shared_data / "esrf_bliss/demoh5_dataset.h5")


# -- DESY


def test_lambda_modules_on_one_canvas(shared_data: Path) -> None:
    folder = shared_data / "lambda_desy"
    run = opened(folder / "testasapo1_1009_00002_m2_part00001.nxs")
    assert run.layout == "lambda-desy"
    assert (run.frames.shape, run.frames.dtype) == ((20, 1833, 1556), np.int16)
    with h5py.File(folder / "testasapo1_1009_00002_m2_part00001.nxs") as file:
        module = file["entry/instrument/detector/data"][4]
        flags = file["entry/instrument/detector/pixel_mask"][0]
    frame = run.frames[14]
    np.testing.assert_array_equal(frame[660 : 660 + 516, :1554], module)
    assert (frame[516:660] == -1).all()
    assert run.mask is not None
    assert not run.mask[516:660].any()
    used = run.mask[660 : 660 + 516, :1554]
    assert not used[(flags & 0xFFFF) != 0].any()
    np.testing.assert_array_equal(run.frames[8:12, 700, 10], run.frames[:, 700, 10][8:12])
    assert values(run) == {
        "energy_kev": 12.0,
        "pixel_row_m": 5.5e-5,
        "pixel_col_m": 5.5e-5,
        "frame_time_s": 0.1,
        "count_time_s": 0.1,
    }


def copied_modules(shared_data: Path, folder: Path, *left_out: str) -> Path:
    for place in sorted((shared_data / "lambda_desy").glob("*.nxs")):
        if not place.stem.endswith(left_out):
            (folder / place.name).write_bytes(place.read_bytes())
    return folder / "testasapo1_1009_00002_m1_part00000.nxs"


def test_lambda_series_with_missing_files(tmp_path: Path, shared_data: Path) -> None:
    path = copied_modules(shared_data, tmp_path, "m2_part00000", "m2_part00001", "m3_part00001")
    run = opened(path)
    assert run.frames.shape == (10, 1833, 1556)
    assert any("module m2" in problem for problem in run.problems)
    assert any("hold 10 to 20 frames" in problem for problem in run.problems)


# -- NXsas and other stacks


def test_nxsas(shared_data: Path) -> None:
    run = opened(shared_data / "nexus_saxs/nexus-example.hdf5")
    assert (run.layout, run.frames.shape, run.frames.dtype) == ("nxsas", (10, 195, 487), np.int32)
    known = values(run)
    assert known["distance_m"] == pytest.approx(0.5408)
    assert (known["pixel_row_m"], known["pixel_col_m"]) == pytest.approx((0.172e-3, 0.172e-3))
    assert known["center_col_px"] == pytest.approx(99.95, abs=1e-9)
    assert known["center_row_px"] == pytest.approx(-5.65, abs=1e-9)
    assert known["energy_kev"] == pytest.approx(20.99996158)
    assert [gap.split(" ")[0] for gap in run.missing] == ["frame_time_s"]


def test_the_only_stack_is_found_wherever_it_stands(tmp_path: Path) -> None:
    """MAX IV: /entry/measurement/<detector>/frames."""
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["entry/measurement/eiger/frames"] = FRAMES
        file["entry/measurement/again"] = h5py.SoftLink("/entry/measurement/eiger/frames")
        file["entry/measurement/hard"] = file["entry/measurement/eiger/frames"]
        file["entry/measurement/flat"] = FRAMES[0]
        file["entry/measurement/energies"] = np.zeros((3, 4, 5))
    run = opened(path)
    np.testing.assert_array_equal(run.frames[:], FRAMES)
    with h5py.File(path, "r+") as file:
        file["entry/other"] = FRAMES[:4]
    with pytest.raises(SeveralFramesError, match=r"/entry/other \(4, 12, 16\)"):
        open_path(path)


def test_a_group_that_holds_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "circle.h5"
    with h5py.File(path, "w") as file:
        file["a/images"] = FRAMES
        file["a/b"] = file["/"]
        file["a/c"] = h5py.ExternalLink("circle.h5", "/a")
    assert len(opened(path).frames) == 10


@pytest.mark.parametrize(
    ("unit", "value", "problem"),
    [
        (None, 5.0, None),
        ("m", 5.0, None),
        ("mm", 5000.0, None),
        ("millimeters", 5000.0, None),
        ("m", 5000.0, "is not used"),
        ("seconds", 5.0, "cannot be in 'seconds'; it is read in m"),
        (b"mm", 5000.0, None),
    ],
)
def test_units_of_a_distance(
    tmp_path: Path, unit: object, value: float, problem: str | None
) -> None:
    path = tmp_path / "run.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = FRAMES
        file["entry/instrument/detector/detector_distance"] = value
        if unit is not None:
            file["entry/instrument/detector/detector_distance"].attrs["unit"] = unit
    run = opened(path)
    assert values(run).get("distance_m") == (None if problem == "is not used" else 5.0)
    assert (problem is None) or any(problem in said for said in run.problems)


def test_a_centre_labelled_as_length_by_mistake(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = FRAMES
        file["entry/instrument/detector/x_pixel_size"] = 75e-6
        file["entry/instrument/detector/beam_center_x"] = 1677.5
        file["entry/instrument/detector/beam_center_x"].attrs["units"] = "m"
    run = opened(path)
    assert values(run)["center_col_px"] == 1677.5
    assert any("cannot be in 'm'" in problem for problem in run.problems)
