"""Damaged files: an object or one sentence, never a crash, a hang or a number out of thin air.

``XPCS_FUZZ_CASES=5000 pytest tests/io/test_fuzz.py`` tries as many cases per property.
"""

import json
import os
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabio
import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.correlate.multitau_run import correlate_multitau
from napari_xpcs.correlate.multitau_twotime_run import correlate_multitau_twotime
from napari_xpcs.correlate.twotime_run import correlate_twotime
from napari_xpcs.errors import XpcsError
from napari_xpcs.io.average import average_files
from napari_xpcs.io.describe import describe
from napari_xpcs.io.files import FramesFile, ResultFile
from napari_xpcs.io.open import open_path, sniff
from napari_xpcs.io.partition_file import read_partition
from napari_xpcs.io.partition_writer import write_partition
from napari_xpcs.io.recipe import Recipe, read_recipe, recipe_to_plain
from napari_xpcs.io.result_writer import unfinished_result
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.label_bins import regions_partition
from napari_xpcs.kernels.mask_painting import painted_difference
from napari_xpcs.kernels.mask_step_dicts import steps_to_dicts
from napari_xpcs.kernels.mask_steps import ThresholdStep
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.regions import Region
from napari_xpcs.progress import run

CASES = int(os.environ.get("XPCS_FUZZ_CASES", "150"))
COUNTS = np.random.default_rng(5).poisson(2, (6, 12, 16)).astype(np.uint16)

fuzz = settings(
    max_examples=CASES,
    deadline=20_000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def put(file: h5py.File, **numbers: float) -> None:
    for name, value in numbers.items():
        file[name.replace("__", "/")] = value


def aps_raw(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=COUNTS, chunks=(1, 12, 16), compression="gzip")
        put(
            file,
            entry__instrument__incident_beam__incident_energy=10.9,
            entry__instrument__detector_1__distance=4.0,
            entry__instrument__detector_1__frame_time=0.01,
            entry__instrument__detector_1__x_pixel_size=7.5e-5,
            entry__instrument__detector_1__beam_center_x=7.0,
            simulation__diffusion_m2_per_s=1e-12,
        )


def dectris(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for number in (1, 2, 3):
            file[f"entry/data/data_{number:06d}"] = COUNTS[2 * number - 2 : 2 * number]
        put(
            file,
            entry__instrument__beam__incident_wavelength=1.1,
            entry__instrument__detector__detector_distance=3.0,
            entry__instrument__detector__frame_time=0.002,
            entry__instrument__detector__x_pixel_size=7.5e-5,
            entry__instrument__detector__beam_center_x=8.0,
            entry__instrument__detector__detectorSpecific__nimages=6,
        )
        file["entry/instrument/detector/detectorSpecific/pixel_mask"] = np.zeros((12, 16), "u4")


def virtual(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["parts/one"], file["parts/two"] = COUNTS[:4], COUNTS[4:]
        layout = h5py.VirtualLayout((6, 1, 12, 16), COUNTS.dtype)
        layout[:4, 0] = h5py.VirtualSource(file["parts/one"])
        layout[4:, 0] = h5py.VirtualSource(file["parts/two"])
        file.create_virtual_dataset("entry/data/data", layout)
        file["entry/data/channel"] = ["threshold_1"]
        file["entry/definition"] = "NXmx"
        put(file, entry__instrument__detector__frame_time=0.002)


def lambda_module(path: Path) -> None:
    with h5py.File(path, "w") as file:
        detector = file.create_group("entry/instrument/detector")
        detector["data"] = COUNTS.astype(np.int16)
        detector["pixel_mask"] = np.zeros((1, 12, 16), np.uint32)
        detector["translation/distance"] = np.array([-2.0, 660.0, 0.0], np.float32)
        for name in ("count_time", "collection/delay_time", "detector_readout_time"):
            detector[name] = [100.0]
            detector[name].attrs["units"] = "millisecond"


def lima(path: Path) -> None:
    with h5py.File(path, "w") as file:
        detector = file.create_group("entry_0000/ESRF-ID10/eiger1")
        detector["data"] = COUNTS
        detector["acquisition/exposure_time"] = 0.009
        detector["acquisition/latency_time"] = 0.001


def shared_partition(path: Path) -> None:
    labels = np.repeat(np.arange(4, dtype=np.uint8)[:, None], 16, axis=1).repeat(3, axis=0)
    with h5py.File(path, "w") as file:
        group = file.create_group("qmap")
        group["mask"] = labels > 0
        for kind in ("dynamic", "static"):
            group[f"{kind}_roi_map"] = labels
            group[f"{kind}_num_pts"] = [3, 1]
            group[f"{kind}_index_mapping"] = [0, 1, 2]
            group[f"{kind}_v_list_dim0"] = [0.01, 0.02, 0.03]
            group[f"{kind}_v_list_dim1"] = [0.0]
        group["map_names"], group["map_units"] = ["q", "phi"], ["1/A", "deg"]
        put(file, qmap__energy=10.0, qmap__detector_distance=4.0, qmap__pixel_size=7.5e-5)


def results(path: Path) -> None:
    shared_partition(path)
    with h5py.File(path, "r+") as file:
        file.move("qmap", "xpcs/qmap")
        file["xpcs/multitau/delay_list"] = np.arange(1, 6)
        file["xpcs/multitau/normalized_g2"] = np.full((5, 3), 1.1, np.float32)
        file["xpcs/multitau/normalized_g2_err"] = np.full((5, 3), 0.01, np.float32)
        file["xpcs/temporal_mean/scattering_2d"] = np.ones((1, 12, 16), np.float32)
        file["xpcs/spatial_mean/intensity_vs_time"] = np.ones((2, 6), np.float32)
        put(file, entry__instrument__detector_1__frame_time=0.01)


REGIONS = (
    Region(kind="sector", phi_range_deg=(150.0, -150.0), name="left"),
    Region(kind="polygon", vertices=((1.0, 1.0), (1.0, 9.0), (8.0, 9.0))),
)
STEPS = (
    ThresholdStep(low=0.0, high=9.0),
    painted_difference(np.ones((12, 16), bool), np.indices((12, 16))[0] > 0, source="brush"),
)


def own_bins() -> Partition:
    geometry = Geometry(
        shape=(12, 16),
        energy_kev=10.0,
        distance_m=5.0,
        pixel_row_m=75e-6,
        pixel_col_m=75e-6,
        center_row_px=5.0,
        center_col_px=7.0,
    )
    used = np.indices((12, 16))[0] > 0
    spec = PartitionSpec(dq=2, sq=4)
    made = regions_partition(REGIONS, geometry, used, spec, bins="each", xp=NumPyBackend())
    return replace(made, mask_steps=STEPS)


def own_partition(path: Path) -> None:
    write_partition(path, own_bins())


def own_results(path: Path, correlate: Callable[..., Any] = correlate_twotime) -> None:
    """What this program alone writes: covariance, streamed maps or ages, steps, regions."""
    bins = own_bins()
    options: dict[str, Any] = {"frame_time_s": 0.01, "xp": NumPyBackend()}
    frames = np.concatenate([COUNTS] * 4)
    with unfinished_result(path) as result:
        ages = correlate is correlate_multitau_twotime
        sink = {} if ages else {"sink": result.maps}
        second = run(correlate(frames, bins, **sink, **options))
        result.write(
            source="run.h5",
            partition=bins,
            multitau=run(correlate_multitau(frames, bins, **options)),
            **{"ages" if ages else "twotime": second},
        )


def own_ages(path: Path) -> None:
    own_results(path, correlate_multitau_twotime)


def own_average(path: Path) -> None:
    repeats = [path.with_name(f"{number}_repeat.hdf") for number in (1, 2)]
    own_results(repeats[0])
    shutil.copy(*repeats)
    run(average_files(repeats, path))
    for repeat in repeats:
        repeat.unlink()


HDF5: dict[str, Callable[[Path], None]] = {
    "aps_raw.h5": aps_raw,
    "dectris_master.h5": dectris,
    "virtual.h5": virtual,
    "run_m1_part00000.nxs": lambda_module,
    "eiger1_0000.h5": lima,
    "qmap.hdf": shared_partition,
    "a_results.hdf": results,
    "own_qmap.hdf": own_partition,
    "own_results.hdf": own_results,
    "own_ages.hdf": own_ages,
    "own_average.hdf": own_average,
}


def poni(path: Path) -> None:
    path.write_text(
        "poni_version: 2.1\nDetector: Detector\n"
        'Detector_config: {"pixel1": 7.5e-05, "pixel2": 7.5e-05, "orientation": 3}\n'
        "Distance: 0.2\nPoni1: 0.08\nPoni2: 0.08\nRot1: 0.006\nRot2: 0\nRot3: 0\n"
        "Wavelength: 1e-10\n"
    )


OTHERS: dict[str, Callable[[Path], None]] = {
    "run.npy": lambda path: np.save(path, COUNTS),
    "run.tif": lambda path: tifffile.imwrite(path, COUNTS, photometric="minisblack"),
    "packed.tif": lambda path: tifffile.imwrite(
        path, COUNTS, photometric="minisblack", compression="zlib"
    ),
    "run.edf": lambda path: fabio.edfimage.EdfImage(COUNTS[0]).write(str(path)),
    "a_mask.edf": lambda path: fabio.edfimage.EdfImage((COUNTS[0] > 3).astype(np.int8)).write(
        str(path)
    ),
    "run.msk": lambda path: fabio.fit2dmaskimage.Fit2dMaskImage(COUNTS[0] > 3).write(str(path)),
    "run.poni": poni,
    "curves.csv": lambda path: path.write_text(
        "bin,q_inv_angstrom,delay_s,g2,g2_err\n1,0.01,1e-3,1.2,0.01\n1,0.01,2e-3,1.1,0.01\n"
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of files in good order."""
    folder = tmp_path_factory.mktemp("whole")
    for name, write in (HDF5 | OTHERS).items():
        write(folder / name)
    return folder


def look(path: Path) -> None:
    """Open, describe and read; faults of the file are sentences, anything else fails the test."""
    sniff(path)
    try:
        describe(path)
        opened = open_path(path)
    except XpcsError as fault:
        assert "\n" not in str(fault), fault  # noqa: PT017
        return
    if isinstance(opened, FramesFile):
        try:
            frames = opened.frames
            assert frames[len(frames) - 1].shape == frames.shape[1:]
            assert frames[0:2].shape[1:] == frames.shape[1:]
        except XpcsError:
            pass
    maps = opened.twotime if isinstance(opened, ResultFile) else None
    for position in range(0 if maps is None else len(maps)):
        try:
            maps.read(position)
        except XpcsError:
            continue


@fuzz
@given(data=st.data())
def test_cut_or_flipped_bytes(tmp_path: Path, whole: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(HDF5 | OTHERS)))
    content = bytearray((whole / name).read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    else:
        # The head of a file, with its tables of contents, matters most.
        reach = data.draw(st.sampled_from([100, 1000, 3000, len(content)]))
        at = st.integers(0, min(reach, len(content)) - 1)
        for position, byte in data.draw(
            st.lists(st.tuples(at, st.integers(0, 255)), min_size=1, max_size=4)
        ):
            content[position] = byte
    path = tmp_path / name
    path.write_bytes(content)
    look(path)


def datasets(path: Path) -> list[str]:
    found: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda place, item: found.append(place))
    return found


INSTEAD = {
    "text": lambda _: "soon",
    "bytes": lambda _: np.bytes_(b"\xff\x00"),
    "nothing": lambda _: h5py.Empty("f8"),
    "no entry": lambda _: np.zeros((0,)),
    "nan": lambda _: np.nan,
    "infinite": lambda _: -np.inf,
    "negative": lambda _: -5,
    "vector": lambda _: np.arange(7.0),
    "five axes": lambda _: np.zeros((1, 2, 1, 2, 1)),
    "complex": lambda _: np.zeros((3, 4), complex),
    "compound": lambda _: np.zeros(3, [("a", "i4"), ("b", "f8")]),
    "flags": lambda _: np.zeros((12, 16), bool),
    "half the type": lambda old: np.asarray(old).astype(np.float16, copy=False),
    "other shape": lambda old: np.asarray(old).ravel()[: max(1, np.size(old) // 2)],
    "nowhere": lambda _: h5py.SoftLink("/no/where"),
    "absent file": lambda _: h5py.ExternalLink("absent.h5", "/entry"),
    "itself": lambda _: h5py.SoftLink("/"),
    "references": lambda _: np.array([1, 2], dtype=object),
}


def replace_dataset(file: h5py.File, place: str, how: str) -> None:
    old = file[place][()] if isinstance(file[place], h5py.Dataset) else np.float64(1)
    del file[place]
    if how == "group":
        file.create_group(place)
    elif how == "references":
        file.create_dataset(place, data=[file["/"].ref] * 2, dtype=h5py.ref_dtype)
    elif how != "deleted":
        try:
            file[place] = INSTEAD[how](old)
        except (TypeError, ValueError):  # text has no half
            file[place] = 0


@fuzz
@given(
    name=st.sampled_from(sorted(HDF5)),
    which=st.integers(0, 200),
    how=st.sampled_from(["deleted", "group", *INSTEAD]),
)
def test_datasets_deleted_or_of_another_kind(
    tmp_path: Path, whole: Path, name: str, which: int, how: str
) -> None:
    path = tmp_path / name
    path.write_bytes((whole / name).read_bytes())
    places = datasets(path)
    with h5py.File(path, "r+") as file:
        replace_dataset(file, places[which % len(places)], how)
    look(path)


@pytest.mark.parametrize("name", sorted(set(HDF5) - {"own_ages.hdf", "own_average.hdf"}))
def test_what_is_deleted_becomes_unknown(tmp_path: Path, whole: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes((whole / name).read_bytes())
    before = {key: row["value"] for key, row in describe(path)["geometry"].items()}
    for place in datasets(path):
        path.write_bytes((whole / name).read_bytes())
        with h5py.File(path, "r+") as file:
            del file[place]
        try:
            after = describe(path)
        except XpcsError:
            continue
        for key, row in after["geometry"].items():
            assert row["value"] in (None, before[key]), (place, key)


# A copy each: a list or mapping that one example fills must not reach the next.
ODD = st.sampled_from(
    [None, True, -1, 0, 1e308, float("nan"), "", "soon", [], [[]], {}, {"a": 1}]
).map(deepcopy)


def leaves(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the ways to everything in ``value``."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in items:
        found.append((*place, key))
        if isinstance(item, dict | list):
            found += leaves(item, (*place, key))
    return found


@st.composite
def spoilt(draw: st.DrawFn, whole_text: str) -> str:
    """One or two values are others, or absent, or the text is cut."""
    content = json.loads(whole_text)
    for _ in range(draw(st.integers(1, 2))):
        *way, last = draw(st.sampled_from(leaves(content)))
        parent = content
        for key in way:
            parent = parent[key]
        if draw(st.booleans()):
            parent[last] = draw(ODD)
        else:
            del parent[last]
        if not leaves(content):
            break
    text = json.dumps(content)
    return text if draw(st.integers(0, 4)) else text[: draw(st.integers(0, len(text)))]


RECIPE = json.dumps(
    recipe_to_plain(
        Recipe(geometry={"distance_m": 5.0}, mask=STEPS, bins=PartitionSpec(), regions=REGIONS)
    )
)


@fuzz
@given(text=spoilt(RECIPE))
def test_spoilt_recipes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    try:
        read_recipe(path)
    except XpcsError as fault:
        assert "\n" not in str(fault), fault  # noqa: PT017


MASK_TEXT = json.dumps({"version": 1, "steps": steps_to_dicts(STEPS)})


@fuzz
@given(data=st.data())
def test_spoilt_steps_and_regions_leave_the_bins(
    tmp_path: Path, whole: Path, data: st.DataObject
) -> None:
    path = tmp_path / "own_qmap.hdf"
    path.write_bytes((whole / "own_qmap.hdf").read_bytes())
    name = data.draw(st.sampled_from(["mask_steps", "regions", "spec"]))
    with h5py.File(path, "r+") as file:
        group = file["qmap/napari_xpcs"]
        if name in group:
            text = data.draw(spoilt(group[name].asstr()[()]))
            del group[name]
            group[name] = text
    made = read_partition(path)
    before = read_partition(whole / "own_qmap.hdf")
    np.testing.assert_array_equal(made.dynamic.labels, before.dynamic.labels)
    np.testing.assert_array_equal(made.mask, before.mask)


@fuzz
@given(
    name=st.sampled_from(["own_qmap.hdf", "own_results.hdf", "own_ages.hdf", "own_average.hdf"]),
    which=st.integers(0, 200),
    how=st.sampled_from(["text", "bytes", "nan", "negative", "vector", "no entry", "deleted"]),
)
def test_attributes_of_another_kind(
    tmp_path: Path, whole: Path, name: str, which: int, how: str
) -> None:
    path = tmp_path / name
    path.write_bytes((whole / name).read_bytes())
    with h5py.File(path, "r+") as file:
        found: list[tuple[str, str]] = []
        file.visititems(lambda place, item: found.extend((place, key) for key in item.attrs))
        place, key = found[which % len(found)]
        del file[place].attrs[key]
        if how != "deleted":
            file[place].attrs[key] = INSTEAD[how](None)
    look(path)
