"""What crosses the edges: writable NumPy arrays out, backend arrays in, no objects."""

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from napari_xpcs.backends import (
    BackendProtocol,
    ConversionError,
    ensure_backend_array,
    ensure_numpy,
    set_backend,
)
from napari_xpcs.errors import XpcsError


def test_a_writable_array_comes_back_itself() -> None:
    image = np.zeros((2, 3), np.uint16)
    assert ensure_numpy(image) is image
    turned = image.T[::-1]
    assert ensure_numpy(turned) is turned


def test_the_rest_becomes_a_writable_array(xp: BackendProtocol, tmp_path) -> None:
    read_only = np.arange(3.0)
    read_only.flags.writeable = False
    with h5py.File(tmp_path / "line.h5", "w") as file:
        dataset = file.create_dataset("line", data=np.arange(3.0))
        given = [
            xp.asarray([0.0, 1.0, 2.0]),
            read_only,
            [0.0, 1, 2],
            (0.0, np.float64(1), 2),
            dataset,
        ]
        if xp.supports_jit:
            given.append([jnp.asarray(0.0), 1.0, 2.0])
        for x in given:
            array = ensure_numpy(x)
            np.testing.assert_array_equal(array, [0.0, 1.0, 2.0])
            assert type(array) is np.ndarray
            assert array.dtype == np.float64
            array[0] = 7.0
    assert read_only[0] == 0.0
    assert ensure_numpy(1.5).shape == ()
    assert ensure_numpy(np.bool_(True)).dtype == np.bool_


def test_writing_into_a_converted_array_leaves_the_backend_array_alone() -> None:
    values = set_backend("jax").asarray([1.0, 2.0])
    ensure_numpy(values)[0] = 9.0
    assert values[0] == 1.0


@pytest.mark.parametrize(
    "x",
    [None, {"a": 1}, {1, 2}, [1, None], [[1, 2], [3]], np.array([1, "a"], object), object()],
    ids=["None", "dict", "set", "list with None", "ragged", "object array", "object"],
)
def test_what_is_no_array_of_numbers_is_refused(xp: BackendProtocol, x: object) -> None:
    del xp
    for convert in (ensure_numpy, ensure_backend_array):
        with pytest.raises(ConversionError) as caught:
            convert(x)
        assert isinstance(caught.value, XpcsError)
        assert isinstance(caught.value, TypeError)


def test_a_mask_is_not_lost_in_silence() -> None:
    with pytest.raises(ConversionError, match="filled"):
        ensure_numpy(np.ma.masked_greater([1.0, 9.0], 5.0))


def test_a_traced_array_is_refused_in_words() -> None:
    with pytest.raises(ConversionError, match="jit"):
        jax.jit(ensure_numpy)(jnp.ones(3))


def test_backend_arrays_stay_where_they_are(xp: BackendProtocol) -> None:
    there = xp.asarray([1.0, 2.0])
    with jax.transfer_guard("disallow"):
        assert ensure_backend_array(there) is there
    np.testing.assert_array_equal(ensure_backend_array([1, 2], np.float32), [1.0, 2.0])
    assert isinstance(ensure_backend_array([1, 2]), type(there))
    assert ensure_backend_array(np.arange(3, dtype=">i2")).dtype == np.int16


def test_arrays_of_the_other_backend_are_taken() -> None:
    by_jax = set_backend("jax").asarray([1.0, 2.0])
    set_backend("numpy")
    assert type(ensure_backend_array(by_jax)) is np.ndarray
