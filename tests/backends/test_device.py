"""The device that is chosen is the device that is used; devices are faked, JAX is not."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import jax
import numpy as np
import pytest

from napari_xpcs.backends import DeviceConfig, DeviceManager, get_backend, set_backend
from napari_xpcs.backends._device import choose_device, limit_gpu_memory
from napari_xpcs.errors import BackendError


@dataclass(frozen=True)
class FakeDevice:
    platform: str
    device_kind: str
    id: int = 0
    stats: tuple[tuple[str, int], ...] = ()

    def memory_stats(self) -> dict[str, int] | None:
        return dict(self.stats) or None


CPU = FakeDevice("cpu", "Some CPU")
GPU = FakeDevice("gpu", "Some GPU", 1, (("bytes_limit", 8 * 2**30), ("bytes_in_use", 2**30)))


def test_the_environment_is_read_with_its_defaults() -> None:
    assert DeviceConfig.from_environment({}) == DeviceConfig(
        use_jax="auto",
        use_gpu=False,
        gpu_fallback=True,
        gpu_memory_fraction=0.9,
        compilation_cache=True,
        monitor=False,
    )
    assert DeviceConfig.from_environment(
        {
            "XPCS_USE_JAX": "False",
            "XPCS_USE_GPU": " YES ",
            "XPCS_GPU_FALLBACK": "off",
            "XPCS_GPU_MEMORY_FRACTION": "0.25",
            "XPCS_COMPILATION_CACHE": "0",
            "XPCS_MONITOR": "1",
        }
    ) == DeviceConfig(
        use_jax="false",
        use_gpu=True,
        gpu_fallback=False,
        gpu_memory_fraction=0.25,
        compilation_cache=False,
        monitor=True,
    )


@pytest.mark.parametrize(("text", "meaning"), [("TRUE", "true"), ("1", "true"), ("Auto", "auto")])
def test_use_jax_takes_any_case_and_the_words_for_booleans(text: str, meaning: str) -> None:
    assert DeviceConfig.from_environment({"XPCS_USE_JAX": text}).use_jax == meaning


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("XPCS_USE_JAX", "cuda", "true, false or auto"),
        ("XPCS_USE_GPU", "maybe", "true, 1, yes, on, false, 0, no or off"),
        ("XPCS_GPU_FALLBACK", "2", "true, 1, yes, on, false, 0, no or off"),
        ("XPCS_GPU_MEMORY_FRACTION", "0", "above 0 and at most 1"),
        ("XPCS_GPU_MEMORY_FRACTION", "1.5", "above 0 and at most 1"),
        ("XPCS_GPU_MEMORY_FRACTION", "nan", "above 0 and at most 1"),
        ("XPCS_GPU_MEMORY_FRACTION", "half", "above 0 and at most 1"),
    ],
)
def test_a_wrong_value_is_refused_with_the_ones_that_can_be(
    name: str, text: str, allowed: str
) -> None:
    with pytest.raises(BackendError, match=rf"^{name} is .*{allowed}\.$"):
        DeviceConfig.from_environment({name: text})


@pytest.mark.parametrize(
    ("devices", "use_gpu", "chosen"),
    [
        ([CPU], False, CPU),
        ([GPU, CPU], False, CPU),
        ([GPU, CPU], True, GPU),
        ([CPU, FakeDevice("cuda", "Another GPU")], True, FakeDevice("cuda", "Another GPU")),
    ],
)
def test_the_device_asked_for_is_chosen_without_a_word(
    devices: list[FakeDevice], use_gpu: bool, chosen: FakeDevice
) -> None:
    assert choose_device(devices, DeviceConfig(use_gpu=use_gpu)) == (chosen, "")


def test_a_missing_gpu_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    manager = DeviceManager(DeviceConfig(use_gpu=True), lambda: [CPU])
    with caplog.at_level(logging.WARNING, logger="napari_xpcs"):
        assert manager.device() is manager.device() is CPU
    assert [record.getMessage() for record in caplog.records] == [manager.info().note]
    assert "computing on the CPU" in manager.info().note


def test_a_missing_gpu_is_an_error_without_fallback() -> None:
    manager = DeviceManager(DeviceConfig(use_gpu=True, gpu_fallback=False), lambda: [CPU])
    with pytest.raises(BackendError, match="XPCS_GPU_FALLBACK=true"):
        manager.device()


def test_a_cpu_that_is_shut_out_is_said() -> None:
    device, note = choose_device([GPU], DeviceConfig())
    assert device is GPU
    assert "JAX_PLATFORMS" in note


def test_memory_is_what_the_device_counts() -> None:
    info = DeviceManager(DeviceConfig(use_gpu=True), lambda: [CPU, GPU]).info()
    assert (info.platform, info.index) == ("gpu", 1)
    assert (info.memory_limit_bytes, info.memory_used_bytes) == (8 * 2**30, 2**30)
    assert str(info) == "Some GPU (gpu 1), 1.0 GiB of 8.0 GiB memory in use"
    silent = DeviceManager(DeviceConfig(use_gpu=True), lambda: [FakeDevice("gpu", "Mute GPU")])
    assert str(silent.info()) == "Mute GPU (gpu 0), unknown of unknown memory in use"


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="the system does not tell its memory")
def test_memory_of_a_cpu_is_that_of_the_machine() -> None:
    info = DeviceManager(DeviceConfig(), lambda: [CPU]).info()
    assert info.memory_limit_bytes is not None
    assert info.memory_used_bytes is None or 0 < info.memory_used_bytes < info.memory_limit_bytes


def test_gpu_memory_is_limited_only_where_jax_was_told_nothing() -> None:
    told: dict[str, str] = {}
    limit_gpu_memory(DeviceConfig(use_gpu=True, gpu_memory_fraction=0.5), told)
    assert told == {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "XLA_CLIENT_MEM_FRACTION": "0.5"}
    for name in ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"):
        mine = {name: "0.3", "XLA_PYTHON_CLIENT_PREALLOCATE": "true"}
        limit_gpu_memory(DeviceConfig(use_gpu=True), mine)
        assert mine == {name: "0.3", "XLA_PYTHON_CLIENT_PREALLOCATE": "true"}
    on_cpu: dict[str, str] = {}
    limit_gpu_memory(DeviceConfig(), on_cpu)
    assert on_cpu == {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def test_arrays_are_placed_on_the_chosen_device(xp: object) -> None:
    # Two CPU devices stand for a GPU and a CPU where the test run has them (see the
    # subprocess in test_environment.py); with one, this still proves the connection.
    del xp
    set_backend("jax")
    chosen = DeviceManager.instance().device()
    assert jax.config.jax_default_device == chosen
    backend = get_backend()
    for array in (backend.asarray(np.arange(3)), backend.zeros(2), backend.jit(backend.sum)([1.0])):
        assert array.devices() == {chosen}


def test_one_manager_for_32_threads() -> None:
    DeviceManager.reset()
    start = Barrier(32)

    def seek() -> tuple[DeviceManager, bool]:
        start.wait()
        manager = DeviceManager.instance()
        return manager, hasattr(manager, "config")

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda _: seek(), range(32)))
    assert len({id(manager) for manager, _ in found}) == 1
    assert all(complete for _, complete in found)
    before = DeviceManager.instance()
    DeviceManager.reset()
    assert DeviceManager.instance() is not before


def test_devices_are_listed_once_for_32_threads() -> None:
    listed = []

    def list_devices() -> list[FakeDevice]:
        listed.append(1)
        return [CPU]

    manager = DeviceManager(DeviceConfig(), list_devices)
    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(lambda _: manager.device(), range(320))) == {CPU}
    assert len(listed) == 1
