"""Calibrations of pyFAI put every pixel where pyFAI puts it."""

from dataclasses import replace
from math import cos, sin
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_xpcs.backends import get_backend, reset_backend, set_backend
from napari_xpcs.errors import FileFormatError, GeometryError
from napari_xpcs.io.poni import Poni, poni_to_known, read_poni
from napari_xpcs.kernels.geometry import complete_geometry
from napari_xpcs.kernels.qmap import q_maps

SHAPE = (20, 31)
PONI = Poni(
    path=Path("test.poni"),
    distance=0.2,
    poni1=0.0011,
    poni2=0.0027,
    rot1=0.3,
    rot2=-0.2,
    rot3=0.7,
    wavelength=1e-10,
    pixel1=1e-4,
    pixel2=1.5e-4,
)


@pytest.fixture(autouse=True, scope="module")
def numpy_backend():
    set_backend("numpy")
    yield
    reset_backend()


def axis_rotation(axis: int, angle: float) -> np.ndarray:
    """Right-handed rotation about axis 0, 1 or 2 of a right-handed system."""
    turned = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turned[i, i] = turned[j, j] = cos(angle)
    turned[i, j], turned[j, i] = -sin(angle), sin(angle)
    return turned


def directions(poni: Poni, shape: tuple[int, int], orientation: int) -> np.ndarray:
    """Axis 1, 2, 3 of every pixel in the laboratory, written from the definition of pyFAI.

    Rotations about axes 1 and 2 are left-handed, about 3 right-handed; pixels are counted
    from another corner before, and axes turned after the rotation.
    """
    rows, cols = np.mgrid[: shape[0], : shape[1]].astype(float)
    if orientation in (1, 2):
        rows = shape[0] - 1 - rows
    if orientation in (1, 4):
        cols = shape[1] - 1 - cols
    detector = np.stack(
        [
            (rows + 0.5) * poni.pixel1 - poni.poni1,
            (cols + 0.5) * poni.pixel2 - poni.poni2,
            np.full(shape, poni.distance),
        ]
    )
    turn = axis_rotation(2, poni.rot3) @ axis_rotation(1, -poni.rot2) @ axis_rotation(0, -poni.rot1)
    lab = np.einsum("ij,jrc->irc", turn, detector)
    lab[0] *= -1 if orientation in (1, 2) else 1
    lab[1] *= -1 if orientation in (1, 4) else 1
    return lab


angle = st.floats(-1.2, 1.2)


@settings(max_examples=40, deadline=None)
@given(rot1=angle, rot2=angle, rot3=angle, orientation=st.integers(1, 4))
def test_every_pixel_stands_where_pyfai_puts_it(
    rot1: float, rot2: float, rot3: float, orientation: int
) -> None:
    poni = replace(PONI, rot1=rot1, rot2=rot2, rot3=rot3, orientation=orientation)
    geometry = complete_geometry(poni_to_known(poni, SHAPE), SHAPE)
    maps = q_maps(geometry, xp=get_backend())
    up, along, beam = directions(poni, SHAPE, orientation)
    np.testing.assert_allclose(
        maps.two_theta_deg, np.degrees(np.arctan2(np.hypot(up, along), beam)), atol=1e-10
    )
    turned = np.exp(1j * np.radians(maps.phi_deg)) * np.exp(1j * np.arctan2(up, along))
    np.testing.assert_allclose(turned, 1.0, atol=1e-6)  # phi runs against axis 1, rows go down


def test_first_eight_rings_of_ceria(shared_data: Path) -> None:
    """Dioptas, which made this calibration, flips images: orientation 2."""
    folder = shared_data / "geometry"
    image = tifffile.imread(folder / "CeO2_Pilatus1M.tif")
    poni = replace(read_poni(folder / "CeO2_Pilatus1M.poni"), orientation=2)
    geometry = complete_geometry(poni_to_known(poni, image.shape), image.shape)
    two_theta = q_maps(geometry, xp=get_backend()).two_theta_deg
    used = image >= 0
    hkl = [(1, 1, 1), (2, 0, 0), (2, 2, 0), (3, 1, 1), (2, 2, 2), (4, 0, 0), (3, 3, 1), (4, 2, 0)]
    for indices in hkl:
        spacing = 5.41165 / np.sqrt(np.square(indices).sum())
        ring = np.degrees(2 * np.arcsin(poni.wavelength * 1e10 / 2 / spacing))
        near = used & (np.abs(two_theta - ring) < 0.25)
        edges = np.linspace(ring - 0.25, ring + 0.25, 51)
        counts, _ = np.histogram(two_theta[near], edges, weights=image[near])
        pixels, _ = np.histogram(two_theta[near], edges)
        profile = counts / pixels
        profile = np.clip(profile - np.median(profile), 0, None)
        centers = (edges[1:] + edges[:-1]) / 2
        peak = np.abs(centers - centers[profile.argmax()]) < 0.08
        assert abs(np.average(centers[peak], weights=profile[peak]) - ring) < 0.01


def test_versions(shared_data: Path) -> None:
    one = read_poni(shared_data / "geometry/CeO2_Pilatus1M.poni")
    assert (one.pixel1, one.pixel2, one.orientation, one.shape) == (172e-6, 172e-6, None, None)
    two = read_poni(shared_data / "lambda_desy/L2.poni")
    assert two.pixel1 == pytest.approx(55e-6)
    known = poni_to_known(two)
    assert known["center_row_px"].value == pytest.approx(0.03853798250466656 / 55e-6 - 0.5)
    assert known["energy_kev"].value == pytest.approx(12.39842 / 0.4836, rel=1e-6)
    assert known["center_row_px"].origin == "L2.poni:Poni1"
    turned = read_poni(shared_data / "geometry/LaB6_40keV_MarCCD_new_with_orientation.poni")
    assert turned.orientation == 2
    known = poni_to_known(turned, (2048, 2048))
    assert known["center_row_px"].value == pytest.approx(2048 - 0.0813975852141 / 79e-6 - 0.5)
    with pytest.raises(GeometryError, match="shape of the frames is needed"):
        poni_to_known(turned)


def test_version_three_tells_of_parallax(tmp_path: Path) -> None:
    path = tmp_path / "three.poni"
    path.write_text(
        "poni_version: 3.0\nDetector: Eiger4M\nDetector_config: "
        '{"max_shape": [2167, 2070], "orientation": 3}\n'
        "Distance: 5\nPoni1: 0.1\nPoni2: 0.2\nRot1: 0\nRot2: 0\nRot3: 0\nParallax: True\n"
    )
    poni = read_poni(path)
    assert poni.pixel1 == 75e-6
    assert "parallax" in poni.problems[0]
    assert "energy_kev" not in poni_to_known(poni)
    with pytest.raises(GeometryError, match="2167 x 2070 pixels, the frames have 514 x 1030"):
        poni_to_known(poni, (514, 1030))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"nothing", "lacks Distance"),
        (b"\xff\xfe\x00", "is no text"),
        (b"Distance: far\nPoni1: 0\nPoni2: 0\n", "distance in bad.poni must be a number"),
        (b"Distance: 1\nPoni1: nan\nPoni2: 0\n", "poni1 in bad.poni must be a number"),
        (b"Distance: 1\nPoni1: 1\nPoni2: 0\nDetector_config: {\n", "is no JSON"),
        (b"Distance: 1\nPoni1: 1\nPoni2: 0\nDetector_config: 3\n", "must name values"),
        (b'Distance: 1\nPoni1: 1\nPoni2: 0\nDetector_config: {"orientation": 7}\n', "got 7"),
        (b'Distance: 1\nPoni1: 1\nPoni2: 0\nDetector_config: {"pixel1": []}\n', "pixel1"),
        (b'Distance: 1\nPoni1: 1\nPoni2: 0\nDetector_config: {"orientation": []}\n', "got"),
    ],
)
def test_damaged_calibration_gets_one_sentence(tmp_path: Path, text: bytes, sentence: str) -> None:
    path = tmp_path / "bad.poni"
    path.write_bytes(text)
    with pytest.raises(FileFormatError, match=sentence):
        read_poni(path)
