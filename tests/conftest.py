"""Fixtures that every test may use."""

from pathlib import Path

import pytest

from napari_xpcs.backends import BackendProtocol, get_backend, reset_backend, set_backend

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(params=["numpy", "jax"])
def xp(request: pytest.FixtureRequest) -> BackendProtocol:
    """Run the test once on each backend."""
    set_backend(request.param)
    yield get_backend()
    reset_backend()


@pytest.fixture
def shared_data() -> Path:
    """Folder of real example files; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the example files in {SHARED_DATA.parent.name}/{SHARED_DATA.name}")
    return SHARED_DATA
