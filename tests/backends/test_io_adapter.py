"""How many conversions, how long: the doors count when asked to."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_xpcs.backends import BackendProtocol, ConversionError, reset_backend
from napari_xpcs.backends.io_adapter import (
    HDF5Adapter,
    MatplotlibAdapter,
    NapariAdapter,
    conversion_report,
    napari_adapter,
)


@pytest.fixture
def monitored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XPCS_MONITOR", "true")
    reset_backend()
    yield
    monkeypatch.undo()
    reset_backend()


@pytest.mark.parametrize("adapter", [NapariAdapter, HDF5Adapter, MatplotlibAdapter])
def test_a_door_passes_writable_numpy_arrays(
    xp: BackendProtocol, adapter: type[NapariAdapter]
) -> None:
    door = adapter()
    array = door.to_numpy(xp.asarray([1.0, 2.0]))
    array += 1.0
    np.testing.assert_array_equal(array, [2.0, 3.0])
    assert door.counted().count == 0
    with pytest.raises(ConversionError):
        door.to_numpy(None)


@pytest.mark.usefixtures("monitored")
def test_32_threads_are_counted() -> None:
    image = np.zeros((16, 16))
    before = napari_adapter.counted()
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda _: napari_adapter.to_numpy(image), range(640)))
    counted = napari_adapter.counted()
    assert counted.count - before.count == 640
    assert counted.total_bytes - before.total_bytes == 640 * image.nbytes
    assert counted.mean_s == pytest.approx(counted.total_s / counted.count)
    line = conversion_report().splitlines()[0].split()
    assert line[:3] == ["napari", str(counted.count), "arrays"]
    assert line[3:5] == [f"{counted.total_bytes / 2**20:.1f}", "MiB"]


def test_the_environment_starts_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    door = NapariAdapter()
    assert "XPCS_MONITOR=true" in conversion_report()
    monkeypatch.setenv("XPCS_MONITOR", "yes")
    reset_backend()
    door.to_numpy([1.0])
    assert door.counted().count == 1
    assert len(conversion_report().splitlines()) == 3
    monkeypatch.undo()
    reset_backend()
    door.to_numpy([1.0])
    assert door.counted().count == 1
