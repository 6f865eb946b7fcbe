"""What only a fresh process can tell: imports, precision, placement, the compilation cache."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# What the developer has set must not decide these tests.
CLEAN = {
    name: text
    for name, text in os.environ.items()
    if not name.startswith(("XPCS_", "JAX_", "XLA_"))
}


def fresh(code: str, **variables: str) -> Any:
    """Run ``code`` in a new interpreter and return what it leaves in ``answer``."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\nimport json; print(json.dumps(answer))"],
        env=CLEAN | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"stderr": done.stderr}


def test_importing_starts_nothing_and_numpy_needs_no_jax() -> None:
    answer = fresh(
        """
import sys
import napari_xpcs.backends, napari_xpcs.backends.io_adapter
imported = "jax" in sys.modules
report = napari_xpcs.backends.system_report()
answer = {"imported": imported, "used": "jax" in sys.modules, "report": report}
""",
        XPCS_USE_JAX="false",
    )
    assert not answer["imported"]
    assert not answer["used"]
    assert answer["report"]["backend"] == "numpy"
    assert answer["report"]["float64"]


def test_a_missing_jax_is_numpy_by_default_and_an_error_on_request() -> None:
    without_jax = """
import sys
class NoJAX:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "jax":
            raise ModuleNotFoundError("No module named 'jax'", name="jax")
sys.meta_path.insert(0, NoJAX())
import napari_xpcs.backends as backends
"""
    assert fresh(without_jax + "answer = {'name': backends.get_backend().name}")["name"] == "numpy"
    answer = fresh(
        without_jax
        + """
try:
    backends.get_backend()
except ImportError as error:
    answer = {"text": str(error)}
""",
        XPCS_USE_JAX="true",
    )
    assert "pip install jax" in answer["text"]


def test_jax_is_set_up_at_first_use_on_the_chosen_device(tmp_path: Path) -> None:
    # The last of two CPU devices plays the one that JAX would not choose by itself.
    answer = fresh(
        """
import jax
from napari_xpcs.backends import DeviceConfig, DeviceManager, get_backend, system_report
before = [jax.config.jax_enable_x64, jax.config.jax_compilation_cache_dir]
DeviceManager._instance = DeviceManager(DeviceConfig(), lambda: jax.devices()[::-1])
xp = get_backend()
image = xp.jit(xp.sin)(xp.arange(5.0))
answer = {
    "before": before,
    "devices": [d.id for d in image.devices()],
    "dtype": str(image.dtype),
    "report": system_report(),
}
""",
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
        XDG_CACHE_HOME=str(tmp_path),
        HOME=str(tmp_path),
        LOCALAPPDATA=str(tmp_path),
    )
    assert answer["before"] == [False, None]
    assert answer["devices"] == [1]
    assert answer["dtype"] == "float64"
    cache = Path(answer["report"]["compilation_cache"])
    assert cache.is_relative_to(tmp_path)
    assert any(cache.iterdir())
    assert answer["stderr"] == ""


def test_the_cache_of_the_user_and_no_cache_are_respected(tmp_path: Path) -> None:
    compute = """
from napari_xpcs.backends import get_backend, system_report
xp = get_backend()
xp.jit(xp.sin)(xp.arange(5.0))
answer = system_report()
"""
    mine = fresh(compute, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))
    assert mine["compilation_cache"] == str(tmp_path / "mine")
    off = fresh(
        compute,
        XPCS_COMPILATION_CACHE="off",
        XPCS_USE_GPU="true",
        JAX_PLATFORMS="cpu",
        XDG_CACHE_HOME=str(tmp_path / "unused"),
    )
    assert off["compilation_cache"] == "off: XPCS_COMPILATION_CACHE is false"
    assert not (tmp_path / "unused").exists()
    assert "computing on the CPU" in off["note"]
    assert off["stderr"].count("computing on the CPU") == 1


def test_a_gpu_without_fallback_is_an_error() -> None:
    answer = fresh(
        """
from napari_xpcs.backends import get_backend
from napari_xpcs.errors import BackendError
try:
    get_backend()
except BackendError as error:
    answer = {"text": str(error)}
""",
        XPCS_USE_GPU="1",
        XPCS_GPU_FALLBACK="0",
        JAX_PLATFORMS="cpu",
    )
    assert "XPCS_GPU_FALLBACK=true" in answer["text"]


@pytest.mark.parametrize("platforms", ["cuda", "nonsense"])
def test_a_platform_without_a_device_is_told_in_a_sentence(platforms: str) -> None:
    answer = fresh(
        """
import napari_xpcs.backends as backends
from napari_xpcs.errors import BackendError
try:
    answer = {"text": backends.get_backend().name}
except BackendError as error:
    answer = {"text": str(error)}
""",
        JAX_PLATFORMS=platforms,
    )
    assert f"JAX_PLATFORMS={platforms!r}" in answer["text"]
    assert "set it to cpu" in answer["text"]
