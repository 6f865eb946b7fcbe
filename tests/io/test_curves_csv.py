"""A table of curves is read, or the line and column that are wrong are named."""

from pathlib import Path

import numpy as np
import pytest

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.curves_csv import read_curves_csv

HEADER = "bin,q_inv_angstrom,delay_s,g2,g2_err\n"


def table(folder: Path, text: str) -> Path:
    path = folder / "curves.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_bins_with_delays_of_their_own(tmp_path: Path) -> None:
    text = HEADER + "3,0.02,1e-3,1.15,0.01\n1,0.01,1e-3,1.2,0.01\n1,0.01,2e-3,1.1,0.02\n"
    curves = read_curves_csv(table(tmp_path, text))
    np.testing.assert_array_equal(curves.delay_s, [1e-3, 2e-3])
    np.testing.assert_array_equal(curves.bins.label, [1, 3])
    np.testing.assert_array_equal(curves.bins.q, [0.01, 0.02])
    assert np.isnan(curves.bins.phi_deg).all()
    np.testing.assert_array_equal(curves.g2, [[1.2, 1.15], [1.1, np.nan]])
    np.testing.assert_array_equal(curves.error, [[0.01, 0.01], [0.02, np.nan]])


def test_columns_in_any_order_with_phi_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeffg2, g2_err ,remark,phi_deg,bin,delay_s,q_inv_angstrom\n1.2,0.1,x,-45,2,0,0.01\n\n"
    curves = read_curves_csv(table(tmp_path, text))
    assert curves.bins.phi_deg.tolist() == [-45.0]
    assert curves.g2.tolist() == [[1.2]]
    assert curves.delay_s.tolist() == [0.0]


def test_nothing_counted_and_empty_cells_are_not_measured(tmp_path: Path) -> None:
    text = HEADER + "1,0.01,1,0,0\n1,0.01,2,,\n1,0.01,3,1.1,0\n1,0.01,4,1.05,0.02\n"
    curves = read_curves_csv(table(tmp_path, text))
    np.testing.assert_array_equal(curves.g2[:, 0], [np.nan, np.nan, 1.1, 1.05])
    np.testing.assert_array_equal(curves.error[:, 0], [np.nan, np.nan, np.nan, 0.02])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: the column bin, q_inv"),
        ("bin,q_inv_angstrom,delay_s,g2\n", "the column g2_err is missing"),
        (HEADER, "no line of numbers"),
        (HEADER + "1,0.01,1,1.2,0.1\n1,0.01,2,high,0.1\n", "line 3, column g2: 'high'"),
        (HEADER + "1.5,0.01,1,1.2,0.1\n", "line 2, column bin: '1.5'"),
        (HEADER + "0,0.01,1,1.2,0.1\n", "line 2, column bin"),
        (HEADER + "1,0.01,-1,1.2,0.1\n", "line 2, column delay_s"),
        (HEADER + "1,0.01,inf,1.2,0.1\n", "line 2, column delay_s"),
        (HEADER + "1,0.01,1,1.2\n", "line 2: 4 cells"),
        (HEADER + "1,0.01,1,1.2,0.1\n1,0.02,2,1.2,0.1\n", "line 3, column q_inv_angstrom"),
        (HEADER + "1,0.01,1,1.2,0.1\n1,0.01,1,1.3,0.1\n", "line 3, column delay_s: bin 1 has"),
    ],
)
def test_faults_name_line_and_column(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(FileFormatError, match=sentence):
        read_curves_csv(table(tmp_path, text))


def test_binary_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_bytes(b"\xff\xfe\x00bin")
    with pytest.raises(FileFormatError, match="cannot be read as a CSV table"):
        read_curves_csv(path)
