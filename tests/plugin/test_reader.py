"""The reader of napari: what is ours, and one sentence for what is not."""

import h5py
import numpy as np
import pytest
from qtpy.QtWidgets import QInputDialog

from napari_xpcs.errors import FileFormatError
from napari_xpcs.plugin._reader import get_reader, read_layers


def test_foreign_files_are_left_to_others(tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    assert get_reader(str(picture)) is None


def test_text_named_h5_is_refused_with_a_sentence(tmp_path):
    path = tmp_path / "notes.h5"
    path.write_text("beam time notes")
    with pytest.raises(FileFormatError, match=r"notes\.h5"):
        get_reader(str(path))(str(path))


def test_hdf5_without_anything_of_xpcs_says_what_was_looked_for(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["temperature"] = [300.0, 301.0]
    with pytest.raises(FileFormatError, match="/entry/data/data"):
        get_reader(str(path))(str(path))


def test_truncated_result_is_refused_with_a_sentence(tmp_path, shared_data):
    whole = (shared_data / "synthetic" / "Z0001_multitau_results.hdf").read_bytes()
    path = tmp_path / "cut_results.hdf"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match=r"cut_results\.hdf"):
        get_reader(str(path))(str(path))


def test_raw_frames_open_lazily_with_their_frame_time(shared_data):
    path = str(shared_data / "synthetic" / "Z0001_Synthetic-D100_a0004_f001000_r00001.h5")
    (data, arguments, kind), *_ = get_reader(path)(path)
    assert kind == "image"
    assert data.shape == (1000, 128, 192)
    assert arguments["scale"] == (1e-3, 1.0, 1.0)
    assert not hasattr(data, "nbytes")


@pytest.mark.parametrize("name", ["run.bin", "run.bin.000"])
def test_events_open_as_frames_with_the_gaps_transparent(tmp_path, name):
    for number in range(6):
        words = np.array([0 << 40 | 5 << 16 | 300, 2 << 40 | 7 << 16 | 4095], "<u8")
        words.tofile(tmp_path / f"run.bin.{number:03d}")
        words.tofile(tmp_path / "run.bin")
    read = get_reader(str(tmp_path / name))
    (shown, arguments, kind), *masks = read(str(tmp_path / name))
    assert (kind, shown.shape[0]) == ("image", 3)
    assert arguments["metadata"]["xpcs"]["role"] == "frames"
    assert shown[0][0, 5] == 300
    assert shown[2][0, 7] == 4095
    assert np.nansum(shown[1]) == 0
    assert len(masks) == (name != "run.bin")
    assert np.isnan(shown[0]).any() == (name != "run.bin")


def two_stacks(path):
    with h5py.File(path, "w") as file:
        file["first/images"] = np.zeros((3, 12, 16), np.uint16)
        file["second/images"] = np.ones((4, 12, 16), np.uint16)
    return str(path)


def test_the_user_chooses_between_stacks(tmp_path, monkeypatch, qapp):
    path = two_stacks(tmp_path / "run.h5")
    monkeypatch.setattr(QInputDialog, "getItem", lambda *asked: (asked[3][1], True))
    ((data, _, kind),) = read_layers(path)
    assert (kind, data.shape) == ("image", (4, 12, 16))
    monkeypatch.setattr(QInputDialog, "getItem", lambda *asked: (asked[3][0], False))
    with pytest.raises(FileFormatError, match="/first/images"):
        read_layers(path)


def test_parts_dropped_together_are_one_run(tmp_path):
    paths = []
    for number in (2, 1):
        path = tmp_path / f"run_{number}.h5"
        with h5py.File(path, "w") as file:
            file["entry/data/data"] = np.full((3, 12, 16), number, np.uint16)
        paths.append(str(path))
    ((data, _, _),) = get_reader(paths)(paths)
    assert data.shape == (6, 12, 16)
    assert data[:, 0, 0].tolist() == [1, 1, 1, 2, 2, 2]


def test_masks_and_calibrations(shared_data, monkeypatch):
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", said.append)
    ((data, _, kind),) = read_layers(str(shared_data / "masks" / "mask_medipix2x2.edf"))
    assert "8915 of 266256 pixels are bad (not 0 = bad, a guess" in said[0]
    assert (kind, int(data.sum())) == ("labels", 8915)
    with pytest.raises(FileFormatError, match="calibration without frames"):
        read_layers(str(shared_data / "lambda_desy" / "L2.poni"))
