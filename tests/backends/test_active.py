"""One backend per process, whichever thread asks first."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from napari_xpcs.backends import (
    JAXBackend,
    MissingBackendError,
    NumPyBackend,
    get_backend,
    reset_backend,
    set_backend,
)
from napari_xpcs.errors import BackendError


@pytest.fixture(autouse=True)
def _fresh_backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("XPCS_USE_JAX", raising=False)
    reset_backend()
    yield
    monkeypatch.undo()
    reset_backend()


@pytest.mark.parametrize(
    ("text", "backend"), [("", JAXBackend), ("true", JAXBackend), ("no", NumPyBackend)]
)
def test_the_environment_decides_after_a_reset(
    monkeypatch: pytest.MonkeyPatch, text: str, backend: type
) -> None:
    monkeypatch.setenv("XPCS_USE_JAX", text)
    assert get_backend() == backend()


def test_set_backend_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPCS_USE_JAX", "true")
    assert set_backend("numpy") is get_backend()
    assert get_backend() == NumPyBackend()


def test_an_unknown_name_leaves_the_backend_as_it_was() -> None:
    set_backend("numpy")
    with pytest.raises(BackendError, match="'torch'; choose one of jax, numpy"):
        set_backend("torch")
    assert get_backend() == NumPyBackend()


def test_instances_are_equal_by_type() -> None:
    assert JAXBackend() == JAXBackend()
    assert hash(JAXBackend()) == hash(JAXBackend())
    assert JAXBackend() != NumPyBackend()
    assert NumPyBackend() == NumPyBackend()


def test_32_threads_get_one_backend() -> None:
    start = Barrier(32)

    def seek() -> int:
        start.wait()
        return id(get_backend())

    for _ in range(20):
        reset_backend()
        with ThreadPoolExecutor(32) as pool:
            assert len(set(pool.map(lambda _: seek(), range(32)))) == 1


def test_backends_can_be_changed_while_others_compute() -> None:
    def work(turn: int) -> float:
        if turn % 7 == 0:
            set_backend(("jax", "numpy")[turn % 2])
        elif turn % 11 == 0:
            reset_backend()
        backend = get_backend()
        return float(backend.sum(backend.asarray([1.0, 2.0, turn])))

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(work, range(200))) == [3.0 + turn for turn in range(200)]


_traced = []


def _scaled(x: object, *, factor: int, xp: object) -> object:
    _traced.append(factor)
    return x * factor


def test_a_reset_does_not_compile_again() -> None:
    _traced.clear()
    for _ in range(3):
        reset_backend()
        xp = get_backend()
        compiled = xp.jit(_scaled, static_argnames=("factor", "xp"))
        for factor in (2, 3):
            compiled(xp.asarray([1.0, 2.0]), factor=factor, xp=xp)
    assert _traced == [2, 3]


def test_a_backend_that_cannot_be_imported_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # None in sys.modules is how Python itself marks what must not be imported.
    monkeypatch.setitem(__import__("sys").modules, "napari_xpcs.backends._jax_backend", None)
    with pytest.raises(MissingBackendError, match="pip install jax") as caught:
        set_backend("jax")
    assert isinstance(caught.value, ImportError)
