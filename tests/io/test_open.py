"""Every file gets the right kind or one clear sentence."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.files import FramesFile, PartitionFile, ResultFile
from napari_xpcs.io.hdf5 import reading
from napari_xpcs.io.open import open_path, open_series, sniff

FRAMES = np.arange(4 * 3 * 5, dtype=np.uint16).reshape(4, 3, 5)


def write_frames(path: Path, **others: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = FRAMES
        for name, values in others.items():
            file[name] = values
    return path


SHARED = {
    "aps_8idi/E0173_H06-c6c5-4_a0009_f100000_r00001_results.hdf": "results",
    "aps_8idi/Average_B0147_S3_7_300C10p_att00_Rq0_00001_00200_results.hdf": "results",
    "synthetic/Z0001_twotime_results.hdf": "results",
    "synthetic/synthetic_qmap.hdf": "partition",
    "synthetic/Z0001_Synthetic-D100_a0004_f001000_r00001.h5": "frames",
    "eiger/eiger4m_one_frame_bslz4.h5": "frames",
    "diamond/ins_8_5.nxs": "frames",
    "esrf_bliss/demoh5_dataset.h5": "frames",
    "nexus_saxs/nexus-example.hdf5": "frames",
    "lambda_desy/testasapo1_1009_00002_m1_part00000.nxs": "frames",
    "masks/mask_medipix2x2.edf": "mask",
    "geometry/test.mask": "mask",
    "geometry/CeO2_Pilatus1M.tif": "frames",
    "geometry/CeO2_Pilatus1M.poni": "geometry",
    "aps_imm/B020_bluesky_demo_00001-00021.imm": "events",
    "diamond/ins_8_5_meta.h5.gz": None,
    "dls/7_2021_MW002-030000_0001.ASC": None,
    "synthetic/truth.json": None,
}


@pytest.mark.parametrize(("name", "kind"), SHARED.items())
def test_sniff_tells_real_files_apart(shared_data: Path, name: str, kind: str | None) -> None:
    assert sniff(shared_data / name) == kind


def test_sniff_never_raises(tmp_path: Path) -> None:
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    cut = write_frames(tmp_path / "cut.h5")
    cut.write_bytes(cut.read_bytes()[:700])
    assert sniff(tmp_path) is None
    assert sniff(tmp_path / "absent.h5") is None
    assert sniff(text) == "unknown"
    assert sniff(cut) == "unknown"
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    assert sniff(tmp_path / "table.csv") is None


def test_what_the_system_says_is_told_in_words(tmp_path: Path) -> None:
    with (
        pytest.raises(FileFormatError, match=r"The signature in run\.h5 .* Permission denied\."),
        reading(tmp_path / "run.h5", "The signature"),
    ):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "run.h5")


def test_sniff_loads_neither_jax_nor_napari() -> None:
    code = (
        "import sys; from napari_xpcs.io.open import sniff; sniff('x.h5');"
        "print([m for m in ('jax', 'napari', 'qtpy', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_synthetic_run_with_its_metadata(shared_data: Path) -> None:
    run = open_path(shared_data / "synthetic/Z0001_Synthetic-D100_a0004_f001000_r00001.h5")
    assert isinstance(run, FramesFile)
    assert run.layout == "aps-raw"
    assert run.frames.shape == (1000, 128, 192)
    assert run.missing == run.problems == ()
    values = {name: sourced.value for name, sourced in run.known.items()}
    assert values["energy_kev"] == 10.0
    assert values["distance_m"] == 8.0
    assert (values["center_row_px"], values["center_col_px"]) == (63.7, 40.3)
    assert (values["frame_time_s"], values["count_time_s"]) == (0.001, 0.00099)
    assert run.known["energy_kev"].origin == (
        "Z0001_Synthetic-D100_a0004_f001000_r00001_metadata.hdf:"
        "/entry/instrument/incident_beam/incident_energy"
    )


def test_masked_pixels_of_a_real_eiger_frame(shared_data: Path) -> None:
    run = open_path(shared_data / "eiger/eiger4m_one_frame_bslz4.h5")
    assert isinstance(run, FramesFile)
    assert run.mask is not None
    assert int((~run.mask).sum()) == 251302
    assert run.frames[0][run.mask].max() < 2**32 - 1


def test_pixels_that_are_only_sometimes_saturated_stay(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    frames = np.zeros((3, 4, 4), np.uint16)
    frames[:, 1, 1] = 65535
    frames[0, 2, 2] = 65535
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = frames
    run = open_path(path)
    assert isinstance(run, FramesFile)
    assert run.mask is not None
    assert np.argwhere(~run.mask).tolist() == [[1, 1]]


def test_partition_file(shared_data: Path) -> None:
    opened = open_path(shared_data / "synthetic/pysimplemask_qmap_516x1556.hdf")
    assert isinstance(opened, PartitionFile)
    assert len(opened.partition.dynamic) == 47
    assert opened.known["center_col_px"].value == 312.37
    assert opened.known["pixel_row_m"].value == 5.5e-05
    assert opened.missing == ()


def test_missing_metadata_is_named_not_invented(tmp_path: Path) -> None:
    run = open_path(write_frames(tmp_path / "run.h5"))
    assert isinstance(run, FramesFile)
    assert run.layout == "hdf5"
    assert all(sourced.value is None for sourced in run.known.values())
    assert run.missing[0] == "metadata file run_metadata.hdf"
    assert any(
        gap.startswith("energy_kev (looked for /entry/instrument/incident_beam/incident_energy and")
        for gap in run.missing
    )


def test_the_only_metadata_file_of_the_folder_is_used_with_a_remark(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "renamed.h5")
    with h5py.File(tmp_path / "A001_metadata.hdf", "w") as file:
        file["entry/instrument/detector_1/frame_time"] = [[np.float32(0.5)]]
    run = open_path(path)
    assert run.known["frame_time_s"].value == 0.5
    assert any("A001_metadata.hdf" in problem for problem in run.problems)
    with h5py.File(tmp_path / "A002_metadata.hdf", "w") as file:
        file["entry/instrument/detector_1/frame_time"] = 0.1
    assert open_path(path).known["frame_time_s"].value is None


def test_damaged_metadata_does_not_hide_the_frames(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "run.h5")
    (tmp_path / "run_metadata.hdf").write_text("nothing")
    run = open_path(path)
    assert run.metadata_path is None
    assert any("run_metadata.hdf is not an HDF5 file" in problem for problem in run.problems)


def test_another_dataset_by_name(shared_data: Path) -> None:
    path = shared_data / "nexus_saxs/nexus-example.hdf5"
    run = open_path(path, dataset="/entry/data/blank")
    assert isinstance(run, FramesFile)
    assert run.frames.shape == (1, 195, 487)


def test_truth_of_a_simulation_is_read(tmp_path: Path) -> None:
    path = write_frames(
        tmp_path / "run.h5",
        **{"simulation/diffusion_m2_per_s": np.float64(5e-14), "simulation/model": np.bytes_("x")},
    )
    run = open_path(path)
    assert isinstance(run, FramesFile)
    assert run.truth == {"diffusion_m2_per_s": 5e-14, "model": "x"}


def text_named_h5(folder: Path) -> Path:
    path = folder / "text.h5"
    path.write_text("bin,q")
    return path


def truncated(folder: Path) -> Path:
    path = write_frames(folder / "cut.h5")
    path.write_bytes(path.read_bytes()[:-40])
    return path


def empty_hdf5(folder: Path) -> Path:
    with h5py.File(folder / "empty.h5", "w"):
        pass
    return folder / "empty.h5"


def other_hdf5(folder: Path) -> Path:
    with h5py.File(folder / "other.h5", "w") as file:
        file["scan/curve"] = np.arange(5)
        file["notes"] = "x"
    return folder / "other.h5"


def four_axes(folder: Path) -> Path:
    with h5py.File(folder / "four.h5", "w") as file:
        file["entry/data/data"] = np.zeros((2, 2, 3, 3))
    return folder / "four.h5"


def broken_link(folder: Path) -> Path:
    with h5py.File(folder / "master.h5", "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("frames_000001.h5", "/entry/data/data")
    return folder / "master.h5"


def broken_link_on_the_way(folder: Path) -> Path:
    with h5py.File(folder / "master.h5", "w") as file:
        file["entry/data/data"] = FRAMES
        del file["entry/data"]
        file["entry/data"] = h5py.ExternalLink("far.h5", "/group")
        file["xpcs"] = 1
    return folder / "master.h5"


def virtual(folder: Path, name: str = "part.h5", inner: str = "frames") -> Path:
    layout = h5py.VirtualLayout((4, 3, 5), np.uint16)
    layout[:] = h5py.VirtualSource(name, inner, (4, 3, 5))
    with h5py.File(folder / "virtual.h5", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    return folder / "virtual.h5"


def virtual_without_its_dataset(folder: Path) -> Path:
    with h5py.File(folder / "part.h5", "w") as file:
        file["something"] = 1
    return virtual(folder)


def virtual_of_virtual(folder: Path) -> Path:
    virtual(folder, "gone.h5").rename(folder / "middle.h5")
    return virtual(folder, "middle.h5", "entry/data/data")


def virtual_through_external_link(folder: Path) -> Path:
    layout = h5py.VirtualLayout((4, 3, 5), np.uint16)
    layout[:] = h5py.VirtualSource(".", "/entry/data/data_000001", (4, 3, 5))
    with h5py.File(folder / "virtual.h5", "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink("run_000001.h5", "/data")
        file.create_virtual_dataset("entry/data/data", layout)
    return folder / "virtual.h5"


def damaged_chunk(folder: Path) -> Path:
    path = folder / "chunk.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "entry/data/data",
            data=np.tile(FRAMES, (1, 9, 9)),
            chunks=(1, 27, 45),
            compression="gzip",
        )
        where = data.id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[where.byte_offset : where.byte_offset + where.size] = b"\x07" * where.size
    path.write_bytes(bytes(content))
    return path


def foreign_filter(folder: Path) -> Path:
    """A file whose frames name a filter that nobody has registered."""
    path = folder / "filter.h5"
    with h5py.File(path, "w") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((1, 3, 5))
        properties.set_filter(300, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((4, 3, 5))
        group = file.create_group("entry/data")
        h5py.h5d.create(group.id, b"data", h5py.h5t.NATIVE_UINT16, space, properties)
    return path


BROKEN = {
    "absent": (lambda folder: folder / "no.h5", "There is no file"),
    "folder": (lambda folder: folder, "is a folder"),
    "text": (text_named_h5, "text.h5 is not an HDF5 file"),
    "truncated": (truncated, "cut.h5 is HDF5 but cannot be opened: it is cut short"),
    "empty": (empty_hdf5, "a stack of images; it is empty"),
    "other": (other_hdf5, "it holds /notes, /scan and no image"),
    "four axes": (four_axes, r"name one .*/entry/data/data\[0\], /entry/data/data\[1\]"),
    "external link": (broken_link, "frames_000001.h5, which is missing"),
    "link on the way": (broken_link_on_the_way, r"it links to far\.h5, which cannot be found"),
    "virtual": (virtual, "part.h5 cannot be found"),
    "virtual, dataset gone": (virtual_without_its_dataset, "part.h5:frames"),
    "virtual of virtual": (virtual_of_virtual, "gone.h5"),
    "virtual through link": (virtual_through_external_link, "run_000001.h5"),
    "chunk": (damaged_chunk, "Frame 0 of chunk.h5 cannot be read"),
    "filter": (foreign_filter, "HDF5 filter 300"),
    "csv": (lambda folder: folder / "no.csv", "There is no file"),
}


@pytest.mark.parametrize(("make", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_file_gets_one_sentence(tmp_path: Path, make: object, sentence: str) -> None:
    path = make(tmp_path)
    with pytest.raises(FileFormatError, match=sentence) as fault:
        open_path(path)
    assert "\n" not in str(fault.value)
    assert str(fault.value).endswith(".")


def test_whole_virtual_dataset_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["frames"] = FRAMES
    run = open_path(virtual(tmp_path))
    assert isinstance(run, FramesFile)
    np.testing.assert_array_equal(run.frames[:], FRAMES)


def test_real_master_without_frames_is_refused(shared_data: Path) -> None:
    with pytest.raises(FileFormatError, match=r"ins_8_5_000001\.h5 and 3 more cannot be found"):
        open_path(shared_data / "diamond/ins_8_5.nxs")


def test_curve_table_opens_as_results(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text("bin,q_inv_angstrom,delay_s,g2,g2_err\n1,0.01,1e-3,1.2,0.01\n")
    assert sniff(path) == "results"
    opened = open_path(path)
    assert isinstance(opened, ResultFile)
    assert opened.curves is not None
    assert opened.partition is None


NOT_OURS = {
    "diamond/ins_8_5_meta.h5.gz": "is packed with gzip",
    "dls/7_2021_MW002-030000_0001.ASC": "is none of the files that are opened here",
    "synthetic/truth.npz": "is none of the files that are opened here",
    "twotime/chx_two_time_350x350.npy": "no sign of what it is",
}


@pytest.mark.parametrize(("name", "sentence"), NOT_OURS.items())
def test_other_files_are_refused_in_a_sentence(shared_data: Path, name: str, sentence: str) -> None:
    with pytest.raises(FileFormatError, match=sentence):
        open_path(shared_data / name)


def test_parts_of_a_run_without_a_master(tmp_path: Path) -> None:
    paths = []
    for number in range(3):
        path = tmp_path / f"run_data_{number:06d}.h5"
        with h5py.File(path, "w") as file:
            file["entry/data/data"] = FRAMES + number
        paths.append(path)
    run = open_series(paths)
    assert run.frames.shape == (12, 3, 5)
    np.testing.assert_array_equal(run.frames[7:9], [FRAMES[3] + 1, FRAMES[0] + 2])
    text = tmp_path / "curves.csv"
    text.write_text("bin,q_inv_angstrom,delay_s,g2,g2_err\n1,0.01,1e-3,1.2,0.01\n")
    with pytest.raises(FileFormatError, match="holds frames to be joined"):
        open_series([*paths, text])
