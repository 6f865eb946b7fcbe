"""Headers of a folder: right, quick to read again, and nothing is lost or fatal."""

import os
import shutil

import h5py
import numpy as np
import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.run_frames import frames_of_result
from napari_xpcs.io.run_list import list_runs, read_header
from napari_xpcs.progress import run


def test_the_header_tells_what_the_whole_file_tells(one_result):
    header = read_header(one_result)
    assert header.layout == "aps-results"
    assert (header.frames, header.bins, header.maps, header.averaged) == (160, 4, 0, 0)
    with h5py.File(one_result) as file:
        assert header.delays == len(file["/xpcs/multitau/delay_list"])
        assert header.frame_time_s == file["/entry/instrument/detector_1/frame_time"][()]
        assert header.started == file["/entry/start_time"][()].decode()
    assert header.problem == ""


def test_real_files_of_the_beamline(shared_data):
    listed = run(list_runs([shared_data / "aps_8idi", shared_data / "synthetic"]))
    headers = {path.name[:5]: one.header for path, one in listed.items() if one.header}
    assert {name: header.bins for name, header in headers.items()} == {
        "Avera": 27,
        "E0173": 36,
        "Z0001": None,  # the two-time file comes last
    }
    assert headers["Avera"].averaged == 43
    assert headers["E0173"].energy_kev == 12.34
    assert headers["E0173"].frames == 100_000
    assert headers["Z0001"].maps == 4
    assert not any(header.problem for header in headers.values())
    others = {path.name for path, one in listed.items() if one.header is None}
    assert "synthetic_qmap.hdf" in others


def test_damaged_files_stay_with_a_reason(one_result, tmp_path):
    (tmp_path / "cut_results.hdf").write_bytes(one_result.read_bytes()[:5000])
    (tmp_path / "empty.h5").touch()
    (tmp_path / "notes.txt").write_text("not looked at")
    (tmp_path / ".hidden_results.hdf").write_bytes(b"")
    (tmp_path / "fit.csv").write_text("bin,model\n1,single\n")
    (tmp_path / "gone_results.hdf").symlink_to(tmp_path / "nowhere")
    with h5py.File(tmp_path / "odd_results.hdf", "w") as file:
        file["/xpcs/multitau/normalized_g2"] = "no numbers"
    listed = run(list_runs([tmp_path]))
    problems = {path.name: one.header.problem for path, one in listed.items() if one.header}
    assert set(problems) == {
        "cut_results.hdf", "empty.h5", "gone_results.hdf", "odd_results.hdf",
    }  # fmt: skip
    assert "cut short" in problems["cut_results.hdf"]
    assert "not an HDF5 file" in problems["empty.h5"]
    assert "gone_results.hdf cannot be opened" in problems["gone_results.hdf"]
    assert problems["odd_results.hdf"] == ""  # the header is there; opening it tells the rest


def test_again_reads_new_and_changed_files_alone(one_result, tmp_path):
    for name in ("a_results.hdf", "b_results.hdf"):
        shutil.copy(one_result, tmp_path / name)
    first = run(list_runs([tmp_path]))
    shutil.copy(one_result, tmp_path / "c_results.hdf")
    (tmp_path / "b_results.hdf").unlink()
    os.utime(tmp_path / "a_results.hdf", (1e9, 1e9))
    second = run(list_runs([tmp_path], first))
    third = run(list_runs([tmp_path], second))
    a, c = tmp_path / "a_results.hdf", tmp_path / "c_results.hdf"
    assert set(second) == {a, c}
    assert second[a] is not first[a]
    assert third[a] is second[a]
    assert third[c] is second[c]


def test_files_and_folders_may_be_mixed_and_are_listed_once(one_result, tmp_path):
    shutil.copy(one_result, tmp_path / "a_results.hdf")
    listed = run(list_runs([tmp_path, tmp_path / "a_results.hdf", one_result]))
    assert set(listed) == {tmp_path / "a_results.hdf", one_result}


def test_a_folder_that_is_gone_is_one_sentence(tmp_path):
    missing = tmp_path / "nowhere"
    listed = run(list_runs([missing]))
    assert "cannot be opened" in listed[missing].header.problem


def test_frames_are_found_where_the_result_says_or_beside_it(one_result, tmp_path):
    assert frames_of_result(one_result) == one_result.with_name("run.h5")
    moved = tmp_path / "results" / "run_results.hdf"
    moved.parent.mkdir()
    shutil.copy(one_result, moved)
    with h5py.File(moved, "r+") as file:
        del file["/xpcs/multitau/config/raw"]
        file["/xpcs/multitau/config/raw"] = "/data/elsewhere/run.h5"
    with pytest.raises(FileFormatError, match=r"/data/elsewhere/run\.h5 .* not there"):
        frames_of_result(moved)
    shutil.copy(one_result.with_name("run.h5"), tmp_path / "run.h5")
    assert frames_of_result(moved) == tmp_path / "run.h5"
    with h5py.File(moved, "r+") as file:
        del file["/xpcs/multitau/config/raw"]
        file["/xpcs/multitau/config/raw"] = ["a.h5", "b.h5"]
    with pytest.raises(FileFormatError, match="average of 2 runs"):
        frames_of_result(moved)


def test_a_table_of_curves_is_listed(tmp_path):
    path = tmp_path / "dls.csv"
    rows = [f"1,0.01,{delay},1.2,0.01" for delay in (1e-3, 2e-3)]
    path.write_text("\n".join(["bin,q_inv_angstrom,delay_s,g2,g2_err", *rows]))
    listed = run(list_runs([tmp_path]))
    assert (listed[path].header.bins, listed[path].header.delays) == (1, 2)
    assert np.isfinite(listed[path].changed_s)
