"""Fixtures that every test may use."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from napari_xpcs.backends import BackendProtocol, get_backend, reset_backend, set_backend
from napari_xpcs.cli import main

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


@dataclass
class Outcome:
    """What a shell sees of a command."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def xpcs(capsys, monkeypatch):
    """Run the command line in this process and return what a shell would see."""

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["napari-xpcs", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = stop.code or 0
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call
