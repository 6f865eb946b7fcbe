"""Both backends do the same: same members, same signatures, same values and types.

``EXAMPLES`` holds calls of every member; one without a row fails.
"""

import ast
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import napari_xpcs
from napari_xpcs.backends import BackendProtocol, JAXBackend, NumPyBackend

F = np.array([[0.5, -1.25, 2.0], [3.0, 0.0, -0.75]])
G = np.array([[2.0, 0.5, -3.0], [1.5, 4.0, 0.25]])
N = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan], [2.0, np.inf, -np.inf]])
F32 = F.astype(np.float32)
I = np.array([[3, -1, 2], [0, 2, -4]], np.int32)  # noqa: E741
U = np.array([[3, 1, 65535], [0, 2, 40000]], np.uint16)
B = np.array([[True, False, True], [False, False, True]])
C = F + 1j * G
EMPTY = np.zeros((0, 3))
ZERO_D = np.array(0.75)
LINE = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
IDS = np.array([0, 2, 2, 7, -1, 3])
SYMMETRIC = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]])
SQUARE = np.arange(9.0).reshape(3, 3)


class Pair(NamedTuple):
    """A tree that is neither a plain tuple nor a list."""

    first: Any
    second: Any


@dataclass(frozen=True)
class Example:
    """A call; ``jit=False`` where the shape of the result depends on values."""

    arguments: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    jit: bool = True


def call(*arguments: Any, **options: Any) -> Example:
    return Example(arguments, options)


def eager(*arguments: Any, **options: Any) -> Example:
    return Example(arguments, options, jit=False)


def each(*inputs: Any) -> list[Example]:
    return [call(x) for x in inputs]


REAL = each(F, F32, I, U, B, N, EMPTY, ZERO_D, 0.75, 2)
UNIT = [*each(ZERO_D, B, EMPTY, 0.25), call(np.array([-1.5, -1.0, 0.0, 1.0, np.nan]))]
PAIRS = [
    call(F, G), call(F32, G), call(F32, I), call(I, U), call(F32, 2), call(I, 0.5),
    call(F, ZERO_D), call(N, 1.0), call(EMPTY, EMPTY), call(2.0, 3.0),
]  # fmt: skip
REDUCE = [
    call(F), call(F, 0), call(F, (0, 1)), call(F, -1, keepdims=True), call(N, 1),
    call(F32), call(I, 0), call(U), call(B, 1), call(ZERO_D), call(0.5),
]  # fmt: skip
RANK = [
    call(F, 25.0), call(F, np.array([0, 10, 50, 100]), 1), call(N, 30.0, 1), call(I, [25, 75], 0),
    call(F, 50.0, (0, 1), keepdims=True), call(F32, 20.0), call(EMPTY, 50.0, 0), call(B, 40.0),
    call(F, np.array([[5.0, 95.0]]), 0, keepdims=True), call(N, [0.0, 100.0]),
]  # fmt: skip


def _running(state: Pair, x: dict[str, Any]) -> tuple[Pair, dict[str, Any]]:
    new = Pair(state.first + x["a"], state.second * 2.0)
    return new, {"sum": new.first, "both": (x["a"] * x["b"], None)}


def _polynomial(x: Any, y: Any) -> Any:
    return (x**3 * y).sum()


def _with_parts(x: Any, y: Any) -> Any:
    return (x * y).sum(), {"x": x}


EXAMPLES: dict[str, list[Example]] = {
    # creation
    "array": [call(F), call(F, np.float32), eager([1, 2]), eager([[0.5], [1.5]]), eager(3)],
    "asarray": [call(F), call(I, np.float64), eager((1.5, 2)), eager(True), eager(F.astype(">f8"))],
    "zeros": [call((2, 3)), call(4, np.int32), call(())],
    "ones": [call((2, 3)), call(4, np.bool_), call((0, 2))],
    "full": [call((2, 2), 1.5), call(3, 7), call(2, True), call(2, 3, np.float32), call(3, ZERO_D)],
    "arange": [
        call(5), call(1, 7, 2), call(0.5, 3.0, 0.25), call(4, dtype=np.float64), call(3, 1),
    ],
    "linspace": [
        call(0.0, 1.0, 7), call(1, 4, 3), call(0, 1, 5, endpoint=False), call(0.1, 0.7, 1),
        call(0, 10, 4, dtype=np.int64), call(ZERO_D, np.array(3.0), 11), call(F[0], G[0], 4),
        call(ZERO_D, 3, 5, endpoint=False), call(2.0, 2.0, 3), call(0, 1, 0),
    ],
    "zeros_like": [*each(F, I, B, F32, EMPTY), call(F, np.int32)],
    "ones_like": [*each(F, I, B, F32, EMPTY), call(I, np.float64)],
    # trigonometry and rounding
    **dict.fromkeys(
        ["sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh", "deg2rad", "rad2deg", "sinc"], REAL
    ),
    "arcsin": UNIT,
    "arccos": UNIT,
    "arctan2": PAIRS,
    "hypot": PAIRS,
    "floor": [*REAL, call(np.array([-0.5, 2.5, -3.0]))],
    "ceil": [*REAL, call(np.array([-0.5, 2.5, -3.0]))],
    "round": [call(np.array([0.5, 1.5, 2.5, -0.5])), call(LINE * 0.137, 2), *each(I, F32, N)],
    "sign": each(F, F32, I, N, EMPTY, ZERO_D, -2.0),
    # maths
    **dict.fromkeys(["exp", "expm1", "log", "log1p", "log10", "sqrt"], REAL),
    "abs": [*REAL, call(C)],
    "square": [*each(F, F32, I, N, EMPTY, ZERO_D, 0.75, 2), call(C)],
    "power": [
        call(np.abs(F), G), call(F, 2), call(I, 2), call(F32, 0.5), call(F, 0.5), call(2.0, I),
        call(0.0, -1.0), call(I, 0.5),
    ],
    "maximum": [*PAIRS, call(B, True)],
    "minimum": [*PAIRS, call(B, False)],
    "clip": [
        call(F, -0.5, 1.0), call(I, None, 1), call(I, 0.5, None), call(F, G, None), call(N, 0, 2),
        call(F32, 0.0, 1), call(F),
    ],
    "mod": [
        call(F, G), call(F, 2.0), call(I, 3), call(I, -3), call(F, -1.5), call(F32, I + 5),
        call(F, 0.0),
    ],
    "matmul": [call(F, G.T), call(SYMMETRIC, LINE[:3]), call(I, G.T), call(F32, F32.T)],
    "einsum": [
        call("ij,ij->i", F, G), call("ij,kj", F, G), call("ij->j", I), call("i,j->ij", LINE, F[0]),
        call("ij,j", F32, I[0]),
    ],
    # statistics
    "mean": [*REDUCE, call(EMPTY), call(EMPTY, 0), call(C, 1)],
    "std": [
        *REDUCE, call(F, 0, ddof=1), call(F, 1, ddof=3), call(EMPTY), call(EMPTY, 0), call(C, 1),
    ],
    "nanmean": [*REDUCE, call(N, 0), call(N), call(EMPTY, 0), call(EMPTY)],
    "nanmin": [*REDUCE, call(N, 0), call(EMPTY, 1)],
    "nanmax": [*REDUCE, call(N, 0), call(EMPTY, 1)],
    "sum": [*REDUCE, call(EMPTY, 0), call(C, 0)],
    "min": [*REDUCE, call(EMPTY, 1)],
    "max": [*REDUCE, call(EMPTY, 1)],
    "percentile": RANK,
    "argmax": [*each(F, I, N, B), call(F, 0), call(N, 1)],
    "sort": [*each(F, I, N, B, EMPTY), call(F, 0)],
    # binning
    "digitize": [
        call(LINE, LINE), call(LINE, LINE, right=True), call(F, LINE), call(I, LINE),
        call(np.array([np.nan, -np.inf, np.inf]), LINE), call(F, LINE[::-1]),
        call(F, LINE[::-1], right=True), call(EMPTY, LINE), call(F, LINE[:0]), call(F32, LINE),
        call(0.5, LINE),
    ],
    "bincount": [
        eager(np.array([0, 3, 3, 1])), eager(np.array([0, 3]), None, 6), call(IDS, length=4),
        eager(np.array([1, 1, 2]), np.array([0.5, 1.5, 2.0])), call(IDS, IDS * 0.25, length=9),
        call(IDS, F32.ravel(), length=3), call(U.ravel(), length=4), call(IDS[:0], length=2),
        eager(IDS[:0]), call(IDS, I.ravel(), length=4), call(IDS, length=0),
    ],
    "unique": [
        eager(I), eager(N), eager(IDS, return_counts=True), eager(EMPTY), eager(ZERO_D),
        eager(I, return_inverse=True, return_counts=True), call(IDS, size=4), call(IDS, size=8),
        call(IDS, return_inverse=True, return_counts=True, size=7, fill_value=99),
        call(IDS, return_counts=True, size=2), eager(B), call(F, size=8, fill_value=0.0),
        call(IDS[:0], size=2),
    ],
    "searchsorted": [
        call(LINE, LINE), call(LINE, LINE, "right"), call(LINE, N), call(LINE, I, side="right"),
        call(np.array([1, 3, 5]), F), call(LINE[:0], F), call(LINE, EMPTY), call(LINE, 0.75),
    ],
    "segment_sum": [
        call(F.ravel(), IDS, 4), call(I.ravel(), IDS, 8), call(F.T, np.array([1, 0, 1]), 2),
        call(F32.ravel(), IDS, 3), call(B.ravel(), IDS, 4), call(C.ravel(), IDS, 4),
        call(np.ones((6, 2, 2)), IDS, 3), call(LINE[:0], IDS[:0], 2), call(U.ravel(), IDS, 4),
    ],
    # boolean
    "where": [
        call(B, F, G), call(B, F32, 0), call(B, I, 0.5), call(B, 1.0, 2), call(I, F, np.nan),
        call(B, F32, I), call(True, F, G),
    ],
    "isnan": each(N, F, I, B, EMPTY, ZERO_D),
    "isfinite": each(N, F, I, B, EMPTY, ZERO_D),
    "all": [call(B), call(B, 0), call(F, 1, keepdims=True), call(EMPTY), call(N), call(I, (0, 1))],
    "any": [call(B), call(B, 0), call(F, 1, keepdims=True), call(EMPTY), call(N), call(I, (0, 1))],
    "logical_and": [call(B, ~B), call(F, I), call(B, True)],
    "logical_or": [call(B, ~B), call(F, I), call(B, False)],
    "logical_not": each(B, F, I, ZERO_D),
    "nonzero": [
        eager(B), eager(F), call(B, size=5), call(I, size=2), call(B, size=6, fill_value=9),
    ],
    # manipulation
    "reshape": [call(F, (3, 2)), call(F, -1), call(EMPTY, (3, 0)), call(ZERO_D, (1, 1))],
    "ravel": each(F, EMPTY, ZERO_D, F.T),
    "transpose": [call(F), call(np.ones((2, 3, 4)), (1, 2, 0)), call(LINE)],
    "concatenate": [
        call([F, G]), call([F, G], 1), call([F32, I]), call((LINE, LINE)), call([F, EMPTY]),
        call([F, LINE[:2, None]], axis=None),
    ],
    "stack": [call([F, G]), call([F32, I], 1), call((LINE, LINE), -1), call([1.0, 2])],
    "broadcast_to": [call(F[0], (4, 3)), call(ZERO_D, (2, 2)), call(F[:, :1], (2, 5))],
    "flip": [call(F), call(F, 0), call(F, (0, 1))],
    "take": [
        call(LINE, np.array([0, 4, -1, -5])), call(LINE, np.array([5, 99, -6, -99])), call(F, 4),
        call(F, np.array([[2, 0], [-1, 7]]), 1), call(F, np.array([5, 0, -1])), call(I, 1, axis=0),
    ],
    "pad": [
        call(F, 1), call(F, ((1, 0), (0, 2)), constant_values=7), call(LINE, (2, 1), "edge"),
        call(F, ((0, 1), (1, 0)), mode="reflect"),
    ],
    # conversion
    "to_numpy": [eager(F), eager(I), eager([1.0, 2.0]), eager(3)],
    "from_numpy": [eager(F), eager(U), eager(F32), eager(ZERO_D), eager(F.astype(">f4"))],
    "astype": [
        call(F, np.int32), call(F, np.float32), call(I, np.float64), call(C, np.float64),
        call(F, np.bool_), call(B, np.int64), call(2.5, np.int64), call(F, np.complex128),
    ],
    # compilation, derivatives, loops
    "jit": [eager(_polynomial)],
    # Compared with formulas below: NumPy has no derivatives to agree with.
    "grad": [],
    "value_and_grad": [],
    "vmap": [eager(_polynomial), eager(_polynomial, (1, 0)), eager(_polynomial, (0, None))],
    "scan": [
        call(_running, Pair(0.0, ZERO_D), {"a": LINE, "b": LINE}),
        call(_running, Pair(1.0, ZERO_D), {"a": LINE, "b": LINE}, reverse=True),
        call(_running, Pair(0.0, ZERO_D), {"a": LINE[:0], "b": LINE[:0]}),
        call(lambda state, _: (state * 2.0, state), 1.0, None, 4),
    ],
    "fori_loop": [
        call(0, 5, lambda i, s: (s[0] + i, s[1] * 2.0), (0, ZERO_D)),
        call(3, 3, lambda i, s: s + i, 1.5),
        call(np.array(1), np.array(4), lambda i, s: s + LINE[0] + i, ZERO_D),
    ],
    "optimization_barrier": [call(F), call((F, {"g": G}))],
    "block_until_ready": [eager(F), eager((F, {"g": G}))],
}  # fmt: skip

CALLED_ON = {"xp", "self._xp", "backend", "get_backend()"}
NAMED_BY_ADR_0001 = {
    *("mean", "std", "nanmean", "nanmin", "nanmax", "percentile", "digitize", "unique"),
    *("searchsorted", "nonzero", "float32"),
    *("segment_sum", "from_numpy", "grad", "value_and_grad", "vmap", "fori_loop", "supports_gpu"),
}
FOR_MODELS_OF_USERS = {
    *("array", "ones", "full", "linspace", "zeros_like", "tan", "arcsin", "arccos", "arctan"),
    *("sinh", "cosh", "ceil", "sign", "expm1", "log10", "power", "square", "isnan", "isfinite"),
    *("logical_or", "logical_not", "all"),
}
"""A file of one's own (docs/how-to/fit.md) writes ``xp`` where it would write ``numpy``."""
MAY_DIFFER = {"name", "supports_gpu", "supports_jit", "supports_grad"}
PUBLIC = {name for name in vars(BackendProtocol) if not name.startswith("_")}
PROPERTIES = {name for name in PUBLIC if isinstance(vars(BackendProtocol)[name], property)}
FUNCTIONS = PUBLIC - PROPERTIES
GIVEN_A_FUNCTION = {"jit", "vmap"}


def copied(tree: Any, *, writeable: bool) -> Any:
    """Copy the arrays of ``tree``."""

    def copy(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        leaf = leaf.copy()
        leaf.flags.writeable = writeable
        return leaf

    return jax.tree.map(copy, tree)


def arrays_of(tree: Any) -> list[np.ndarray]:
    return [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, np.ndarray)]


@contextmanager
def described(member: str, example: Example) -> Iterator[None]:
    """Name the call in the report of a failure."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"{member}{example.arguments} {example.options}")
        raise


def outcome(xp: BackendProtocol, member: str, example: Example, arguments: tuple[Any, ...]) -> Any:
    result = getattr(xp, member)(*arguments, **example.options)
    if member in GIVEN_A_FUNCTION:
        result = result(xp.asarray(SQUARE), xp.asarray(SQUARE.T))
    return result


def assert_same(got: Any, expected: Any, rtol: float = 1e-13) -> None:
    got_leaves, got_tree = jax.tree.flatten(got)
    expected_leaves, expected_tree = jax.tree.flatten(expected)
    assert got_tree == expected_tree
    for one, other in zip(got_leaves, expected_leaves, strict=True):
        one, other = np.asarray(one), np.asarray(other)
        assert one.dtype == other.dtype
        single = one.dtype in (np.float32, np.complex64)
        np.testing.assert_allclose(
            one, other, rtol=2e-6 if single else rtol, atol=1e-6 if single else 1e-14
        )


def test_every_member_has_examples() -> None:
    assert set(EXAMPLES) == FUNCTIONS


def test_every_member_is_called_or_promised() -> None:
    package = Path(napari_xpcs.__file__).parent
    called = {
        node.attr
        for path in package.rglob("*.py")
        if path.parent.name != "backends"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in CALLED_ON
    }
    assert PUBLIC - called - NAMED_BY_ADR_0001 - FOR_MODELS_OF_USERS == set()


@pytest.mark.parametrize("backend", [NumPyBackend, JAXBackend])
def test_signatures_are_those_of_the_protocol(backend: type[BackendProtocol]) -> None:
    assert isinstance(backend(), BackendProtocol)
    assert {name for name in dir(backend) if not name.startswith("_")} == PUBLIC
    for name in FUNCTIONS:
        assert inspect.signature(getattr(backend, name)) == inspect.signature(
            getattr(BackendProtocol, name)
        ), name


@pytest.mark.parametrize("name", sorted(PROPERTIES - MAY_DIFFER))
def test_constants_agree(name: str) -> None:
    np.testing.assert_equal(getattr(JAXBackend(), name), getattr(NumPyBackend(), name))


@pytest.mark.parametrize("member", sorted(FUNCTIONS - {"grad", "value_and_grad"}))
def test_numpy_leaves_arguments_alone_and_takes_read_only_ones(member: str) -> None:
    xp = NumPyBackend()
    for example in EXAMPLES[member]:
        given = copied(example.arguments, writeable=True)
        result = outcome(xp, member, example, given)
        assert_same(arrays_of(given), arrays_of(example.arguments))
        read_only = copied(example.arguments, writeable=False)
        assert_same(outcome(xp, member, example, read_only), result)


@pytest.mark.parametrize("member", sorted(FUNCTIONS - {"grad", "value_and_grad"}))
def test_backends_agree_step_by_step(member: str) -> None:
    # What can be jitted is compared in full by the next test, compiled in one piece: the
    # step-by-step run of every example would take a minute for the same bodies.
    jitted = [example for example in EXAMPLES[member] if example.jit]
    for example in [e for e in EXAMPLES[member] if not e.jit] + jitted[:1]:
        arguments = copied(example.arguments, writeable=False)
        by_jax = outcome(JAXBackend(), member, example, arguments)
        with described(member, example):
            assert_same(by_jax, outcome(NumPyBackend(), member, example, arguments))


@pytest.mark.parametrize(
    "member", sorted(m for m in FUNCTIONS if any(example.jit for example in EXAMPLES[m]))
)
def test_backends_agree_under_jit(member: str) -> None:
    xp = JAXBackend()
    examples = [example for example in EXAMPLES[member] if example.jit]
    leaves, structure = jax.tree.flatten([example.arguments for example in examples])
    traced = [i for i, leaf in enumerate(leaves) if isinstance(leaf, np.ndarray)]

    def every_example(*arrays: Any) -> list[Any]:
        given = list(leaves)
        for i, array in zip(traced, arrays, strict=True):
            given[i] = array
        calls = jax.tree.unflatten(structure, given)
        return [
            outcome(xp, member, example, arguments)
            for example, arguments in zip(examples, calls, strict=True)
        ]

    results = jax.jit(every_example)(*(leaves[i] for i in traced))
    for example, result in zip(examples, results, strict=True):
        expected = outcome(NumPyBackend(), member, example, example.arguments)
        with described(member, example):
            # The compiler may join a product and a sum into one rounding.
            assert_same(result, expected, rtol=1e-12)


def test_derivatives_are_right_with_jax_and_refused_with_numpy() -> None:
    xp = JAXBackend()
    x, y = xp.asarray(SQUARE), xp.asarray(SQUARE.T + 1.0)
    by_x, by_y = xp.grad(_polynomial, (0, 1))(x, y)
    np.testing.assert_allclose(by_x, 3 * SQUARE**2 * (SQUARE.T + 1.0))
    np.testing.assert_allclose(by_y, SQUARE**3)
    (value, parts), slope = xp.value_and_grad(_with_parts, has_aux=True)(x, y)
    assert value == np.sum(SQUARE * (SQUARE.T + 1.0))
    np.testing.assert_array_equal(parts["x"], SQUARE)
    np.testing.assert_array_equal(slope, SQUARE.T + 1.0)
    for member in ("grad", "value_and_grad"):
        with pytest.raises(NotImplementedError, match="XPCS_USE_JAX=true"):
            getattr(NumPyBackend(), member)(_polynomial)
