"""Maps and label images against pySimpleMask, case by case; see test_pysimplemask.py for how.

Its Planck constant is rounded (relative 3e-10) and it takes an arccos, which loses digits
next to the beam; qx and qy are stored in single precision.
"""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.kernels.geometry import Geometry
from napari_xpcs.kernels.grid_bins import make_partition, partition_from_maps
from napari_xpcs.kernels.partition import Partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.qmap import QMaps, q_maps

PEER = Path(__file__).with_name("bins_of_pysimplemask.py")
HC_ROUNDED = 12.39841984 / 12.398419843320026
DETECTOR = Geometry(
    shape=(516, 774),
    energy_kev=10.9,
    distance_m=3.85,
    pixel_row_m=55e-6,
    pixel_col_m=55e-6,
    center_row_px=240.62,
    center_col_px=312.37,
)
SWUNG = replace(DETECTOR, swing_horizontal_deg=5.0, swing_vertical_deg=-2.0)
FAR = replace(DETECTOR, center_row_px=-80.3, center_col_px=312.37)
GRAZING = replace(DETECTOR, incident_angle_deg=0.14)

CASES = {
    "linear": (DETECTOR, PartitionSpec(dq=36, sq=360)),
    "log": (DETECTOR, PartitionSpec(dq=20, sq=100, spacing="log")),
    "q-phi": (DETECTOR, PartitionSpec(dq=12, sq=120, dp=8, sp=24)),
    "offset": (DETECTOR, PartitionSpec(dq=6, sq=12, dp=6, sp=12, phi_offset_deg=37.0)),
    "no-offset": (DETECTOR, PartitionSpec(dq=6, sq=12, dp=6, sp=12, phi_offset_deg=0.0)),
    "fold": (DETECTOR, PartitionSpec(dq=6, sq=12, dp=4, sp=8, phi_fold=3)),
    "fold-offset": (
        DETECTOR,
        PartitionSpec(dq=6, sq=12, dp=4, sp=8, phi_fold=2, phi_offset_deg=-20.0),
    ),
    "mesh": (DETECTOR, PartitionSpec(dq=9, sq=27, dp=7, sp=21, mode="x-y")),
    "wedge": (DETECTOR, PartitionSpec(dq=10, sq=50, dp=5, sp=10)),
    "tilt": (SWUNG, PartitionSpec(dq=18, sq=90, dp=6, sp=12)),
    "off-detector": (FAR, PartitionSpec(dq=18, sq=90, dp=6, sp=12)),
    "ellipse": (DETECTOR, PartitionSpec(dq=8, sq=16, dp=6, sp=12, mode="eq-ephi")),
    "grazing": (GRAZING, PartitionSpec(dq=18, sq=90, dp=6, sp=12)),
}


def case_mask(name: str) -> np.ndarray:
    mask = np.random.default_rng(len(name)).random(DETECTOR.shape) > 0.05
    rows, cols = np.indices(DETECTOR.shape)
    if name == "wedge":
        turn = np.degrees(np.arctan2(DETECTOR.center_row_px - rows, cols - DETECTOR.center_col_px))
        mask &= (turn > -30) & (turn < 75)
    if name == "ellipse":
        mask &= ((rows - 250) / 150) ** 2 + ((cols - 400 - 0.5 * (rows - 250)) / 260) ** 2 < 1
    return mask


def described(geometry: Geometry, spec: PartitionSpec) -> dict[str, object]:
    swing = [geometry.swing_horizontal_deg, geometry.swing_vertical_deg]
    detector: dict[str, object] = {
        "shape": geometry.shape,
        "center": [geometry.center_row_px, geometry.center_col_px],
        "energy": geometry.energy_kev,
        "pixel": geometry.pixel_row_m,
        "distance": geometry.distance_m,
        "swing": swing,
    }
    if geometry.incident_angle_deg is not None:
        detector["incident"] = geometry.incident_angle_deg
    bins = {
        "mode": spec.mode,
        "dynamic": [spec.dq, spec.dp],
        "static": [spec.sq, spec.sp],
        "log": spec.spacing == "log",
        "offset": spec.phi_offset_deg,
        "fold": spec.phi_fold,
    }
    return {"geometry": detector, "bins": bins}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = os.environ.get("XPCS_PYSIMPLEMASK")
    if python is None:
        pytest.skip("needs pySimpleMask: XPCS_PYSIMPLEMASK names no Python that has it")
    folder = tmp_path_factory.mktemp("peer-bins")
    cases = {name: described(*case) for name, case in CASES.items()}
    (folder / "cases.json").write_text(json.dumps(cases))
    for name in CASES:
        np.save(folder / f"mask_{name}.npy", case_mask(name))
    done = subprocess.run(
        [python, PEER, folder], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder


def peer(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / f"found_{name}.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", ["linear", "tilt", "off-detector"])
def test_maps_in_transmission(folder: Path, name: str, xp: BackendProtocol) -> None:
    geometry, found = CASES[name][0], peer(folder, name)
    maps = q_maps(geometry, xp=xp)
    # Its arccos is wrong by 1e-16 / theta: 3e-10 of theta here.
    away = ensure_numpy(maps.two_theta_deg) > 0.05
    assert away.mean() > 0.95
    scale = np.abs(found["q"]).max()
    for field, theirs, tolerance in (
        ("q", found["q"], 1e-9),
        ("phi_deg", found["phi"], 1e-9),
        ("two_theta_deg", found["TTH"], 1e-9),
        ("qx", found["qx"], 1e-6),
        ("qy", found["qy"], 1e-6),
    ):
        ours = ensure_numpy(getattr(maps, field))
        np.testing.assert_allclose(
            ours[away], theirs[away], rtol=tolerance, atol=1e-15 * scale, err_msg=field
        )
    # Its qx and qy are stored with 24 bits; the formulas agree where that is undone.
    theta, phi = np.radians(found["TTH"]), np.radians(found["phi"])
    k = 2 * np.pi * geometry.energy_kev / 12.39841984
    for ours, direction in ((maps.qx, np.cos(phi)), (maps.qy, np.sin(phi))):
        theirs = k * np.sin(theta) * direction
        np.testing.assert_allclose(
            ensure_numpy(ours)[away], theirs[away], rtol=1e-9, atol=1e-12 * scale
        )


def test_maps_in_grazing_incidence(folder: Path, xp: BackendProtocol) -> None:
    geometry, found = CASES["grazing"][0], peer(folder, "grazing")
    maps = q_maps(geometry, xp=xp)
    k = 2 * np.pi * geometry.energy_kev / 12.39841984
    for field in ("q", "qx", "qy", "qz", "qr"):
        # Its k has a rounded Planck constant; everything is proportional to k.
        ours = ensure_numpy(getattr(maps, field)) / HC_ROUNDED
        # Its qx is a difference of cosines near 1, so exact to a rounding of k and no better.
        rounding = 4 * np.finfo(float).eps * k
        np.testing.assert_allclose(ours, found[field], rtol=1e-12, atol=rounding, err_msg=field)
    np.testing.assert_allclose(maps.two_theta_deg, found["TTH"], rtol=1e-12)
    np.testing.assert_allclose(maps.phi_deg, found["phi"], rtol=1e-12)


def differing(partition: Partition, found: dict[str, np.ndarray]) -> int:
    return max(
        np.count_nonzero(bins.labels != found[f"{kind}_roi_map"])
        for kind, bins in (("dynamic", partition.dynamic), ("static", partition.static))
    )


@pytest.mark.parametrize("name", CASES)
def test_with_its_own_maps_the_labels_are_identical(
    folder: Path, name: str, xp: BackendProtocol
) -> None:
    (geometry, spec), found = CASES[name], peer(folder, name)
    own = q_maps(geometry, xp=xp)
    maps = QMaps(
        q=xp.asarray(found["q"]),
        phi_deg=xp.asarray(found["phi"]),
        two_theta_deg=own.two_theta_deg,
        qx=own.qx,
        qy=own.qy,
    )
    partition = partition_from_maps(maps, case_mask(name), spec, geometry, xp=xp)
    if name == "ellipse":
        # The ellipse itself is computed here: rounding decides for pixels on an edge.
        assert differing(partition, found) <= partition.mask.size * 1e-5
        return
    assert differing(partition, found) == 0
    for kind, bins in (("dynamic", partition.dynamic), ("static", partition.static)):
        np.testing.assert_array_equal(bins.index, found[f"{kind}_index_mapping"])
        for axis in (0, 1):
            np.testing.assert_allclose(
                bins.centers[axis], found[f"{kind}_v_list_dim{axis}"], rtol=1e-12, atol=1e-12
            )


@pytest.mark.parametrize("name", CASES)
def test_with_our_maps_one_pixel_in_1e5_differs_at_most(
    folder: Path, name: str, xp: BackendProtocol
) -> None:
    (geometry, spec), found = CASES[name], peer(folder, name)
    partition = make_partition(geometry, case_mask(name), spec, xp=xp)
    assert differing(partition, found) <= partition.mask.size * 1e-5
