"""Loops over arrays nested in tuples, named tuples, lists and dicts, without JAX."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from napari_xpcs.backends._base import Tree


def leaves(tree: Tree) -> list[Any]:
    """Return the arrays of a tree, dict entries in the order of their keys."""
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in leaves(tree[key])]
    if isinstance(tree, tuple | list):
        return [leaf for branch in tree for leaf in leaves(branch)]
    return [tree]


def map_tree(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply ``function`` to the leaves of trees of one structure."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {
            key: map_tree(function, tree[key], *(other[key] for other in others))
            for key in sorted(tree)
        }
    if isinstance(tree, tuple | list):
        branches = [
            map_tree(function, branch, *(other[i] for other in others))
            for i, branch in enumerate(tree)
        ]
        # A named tuple takes its fields one by one, unlike tuple and list.
        return tree._make(branches) if hasattr(tree, "_make") else type(tree)(branches)
    return function(tree, *others)


def common_length(lengths: set[int], what: str) -> int:
    """Return the only entry of ``lengths``."""
    if len(lengths) != 1:
        message = f"{what} got arrays of lengths {sorted(lengths)} to loop over; give one length."
        raise ValueError(message)
    return lengths.pop()


def stack_trees(trees: list[Tree], axis: int = 0) -> Tree:
    """Stack leaf by leaf."""
    return map_tree(lambda *xs: np.stack(xs, axis), *trees)


def scan(
    f: Callable[[Tree, Tree], tuple[Tree, Tree]],
    init: Tree,
    xs: Tree,
    length: int | None,
    reverse: bool,
) -> tuple[Tree, Tree]:
    """Carry a state over the first axis; see :meth:`~napari_xpcs.backends.BackendProtocol.scan`."""
    lengths = {len(leaf) for leaf in leaves(xs)} | (set() if length is None else {length})
    steps = common_length(lengths, "scan")
    if steps == 0:
        # Only a call tells what an output looks like.
        blank = map_tree(lambda x: np.zeros(np.shape(x)[1:], np.asarray(x).dtype), xs)
        _, output = f(init, blank)
        return init, map_tree(lambda y: np.zeros((0, *np.shape(y)), np.asarray(y).dtype), output)
    state, outputs = init, []
    for i in reversed(range(steps)) if reverse else range(steps):
        state, output = f(state, map_tree(lambda x, i=i: np.asarray(x)[i], xs))
        outputs.append(output)
    return state, stack_trees(outputs[::-1] if reverse else outputs)


def vmap(fun: Callable[..., Any], in_axes: Any, out_axes: int, args: tuple[Tree, ...]) -> Tree:
    """Apply ``fun`` along an axis; see :meth:`~napari_xpcs.backends.BackendProtocol.vmap`."""
    values = leaves(args)
    axes = axis_of_leaves(tuple(in_axes) if isinstance(in_axes, list) else in_axes, args)
    mapped = {np.shape(x)[axis] for x, axis in zip(values, axes, strict=True) if axis is not None}
    steps = common_length(mapped, "vmap")

    def at(pick: Callable[[Any, int], Any]) -> Tree:
        """Call ``fun`` with one entry of every mapped leaf."""
        entries = iter(
            [
                x if axis is None else pick(np.asarray(x), axis)
                for x, axis in zip(values, axes, strict=True)
            ]
        )
        return fun(*map_tree(lambda _: next(entries), args))

    if steps == 0:
        # Only a call tells what a result looks like.
        result = at(lambda x, axis: np.zeros(np.delete(x.shape, axis), x.dtype))
        return map_tree(lambda y: np.stack([y], out_axes).take([], axis=out_axes), result)
    results = [at(partial(_entry, i)) for i in range(steps)]
    return stack_trees(results, out_axes)


def axis_of_leaves(axes: Any, tree: Tree) -> list[int | None]:
    """Return the axis of every leaf where ``axes`` is given for all or branch by branch."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(leaves(tree))
    if isinstance(tree, dict):
        return [axis for key in sorted(tree) for axis in axis_of_leaves(axes[key], tree[key])]
    if len(axes) != len(tree):
        message = f"vmap got {len(axes)} in_axes for {len(tree)} arguments; give one for each."
        raise ValueError(message)
    return [
        axis
        for part, branch in zip(axes, tree, strict=True)
        for axis in axis_of_leaves(part, branch)
    ]


def _entry(i: int, x: np.ndarray[Any, Any], axis: int) -> Any:
    return np.moveaxis(x, axis, 0)[i]
