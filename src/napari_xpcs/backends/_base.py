"""What an array backend offers: the only array functions that kernels may call."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from napari_xpcs._typing import Array

Axis: TypeAlias = int | tuple[int, ...] | None
Shape: TypeAlias = int | tuple[int, ...]
Tree: TypeAlias = Any
"""Arrays nested in tuples, named tuples, lists and dicts; ``None`` holds nothing."""


@runtime_checkable
class BackendProtocol(Protocol):
    """Array functions with one behaviour on every backend.

    Names, defaults and meaning are NumPy's; where NumPy and JAX differ, the docstring of
    the member says which of the two holds here.  In addition:

    * Integer and boolean input of a function with a real result becomes float64.
    * Arguments of different types are promoted as NumPy promotes them.  That holds for
      the members only: with the operators ``+ - * /`` cast integers to float first.
    * No member warns or raises because of a value (0/0, the logarithm of 0, the mean of
      nothing): the result is NaN or infinite.
    * No member writes into its arguments.
    * Members that say "fixed size" have a result whose shape depends on values; give
      ``size`` or ``length`` to call them under ``jit``.
    """

    # --- the backend itself -----------------------------------------------------------

    @property
    def name(self) -> str:
        """Return ``"jax"`` or ``"numpy"``, for reports; never branch on it."""
        ...

    @property
    def supports_gpu(self) -> bool:
        """Return whether arrays can live on a GPU."""
        ...

    @property
    def supports_jit(self) -> bool:
        """Return whether :meth:`jit` compiles."""
        ...

    @property
    def supports_grad(self) -> bool:
        """Return whether :meth:`grad` and :meth:`value_and_grad` work."""
        ...

    @property
    def pi(self) -> float:
        """Return the ratio of a circle's circumference to its diameter."""
        ...

    @property
    def inf(self) -> float:
        """Return positive infinity."""
        ...

    @property
    def nan(self) -> float:
        """Return not-a-number."""
        ...

    @property
    def float64(self) -> Any:
        """Return the type of double precision numbers."""
        ...

    @property
    def float32(self) -> Any:
        """Return the type of single precision numbers."""
        ...

    @property
    def int32(self) -> Any:
        """Return the type of 32-bit integers."""
        ...

    # --- creation ---------------------------------------------------------------------

    def array(self, values: Any, dtype: Any = None) -> Array:
        """Return an array with a copy of ``values``."""
        ...

    def asarray(self, values: Any, dtype: Any = None) -> Array:
        """Return ``values`` as an array that may share their memory."""
        ...

    def zeros(self, shape: Shape, dtype: Any = None) -> Array:
        """Return an array of zeros, float64 unless ``dtype`` says otherwise."""
        ...

    def ones(self, shape: Shape, dtype: Any = None) -> Array:
        """Return an array of ones, float64 unless ``dtype`` says otherwise."""
        ...

    def full(self, shape: Shape, fill_value: Any, dtype: Any = None) -> Array:
        """Return an array that holds ``fill_value`` everywhere."""
        ...

    def arange(self, start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Array:
        """Return evenly spaced values in the half-open interval [start, stop)."""
        ...

    def linspace(
        self, start: Any, stop: Any, num: int = 50, *, endpoint: bool = True, dtype: Any = None
    ) -> Array:
        """Return ``num`` evenly spaced values from ``start`` to ``stop``, bit for bit NumPy's."""
        ...

    def zeros_like(self, x: Array, dtype: Any = None) -> Array:
        """Return zeros with the shape and type of ``x``."""
        ...

    def ones_like(self, x: Array, dtype: Any = None) -> Array:
        """Return ones with the shape and type of ``x``."""
        ...

    # --- trigonometry and rounding ----------------------------------------------------

    def sin(self, x: Array) -> Array:
        """Return the sine of angles in rad."""
        ...

    def cos(self, x: Array) -> Array:
        """Return the cosine of angles in rad."""
        ...

    def tan(self, x: Array) -> Array:
        """Return the tangent of angles in rad."""
        ...

    def arcsin(self, x: Array) -> Array:
        """Return the angle, rad, with this sine; NaN outside [-1, 1]."""
        ...

    def arccos(self, x: Array) -> Array:
        """Return the angle, rad, with this cosine; NaN outside [-1, 1]."""
        ...

    def arctan(self, x: Array) -> Array:
        """Return the angle, rad, with this tangent."""
        ...

    def arctan2(self, y: Array, x: Array) -> Array:
        """Return the angle, rad, of the point (x, y) in (-pi, pi]."""
        ...

    def sinh(self, x: Array) -> Array:
        """Return the hyperbolic sine."""
        ...

    def cosh(self, x: Array) -> Array:
        """Return the hyperbolic cosine."""
        ...

    def tanh(self, x: Array) -> Array:
        """Return the hyperbolic tangent."""
        ...

    def hypot(self, x: Array, y: Array) -> Array:
        """Return the hypotenuse of a right triangle with legs ``x`` and ``y``."""
        ...

    def deg2rad(self, x: Array) -> Array:
        """Return degrees as radians."""
        ...

    def rad2deg(self, x: Array) -> Array:
        """Return radians as degrees."""
        ...

    def floor(self, x: Array) -> Array:
        """Return the largest whole number not above; integers keep their type."""
        ...

    def ceil(self, x: Array) -> Array:
        """Return the smallest whole number not below; integers keep their type."""
        ...

    def round(self, x: Array, decimals: int = 0) -> Array:
        """Return values rounded to ``decimals``, halves to the even neighbour."""
        ...

    def sign(self, x: Array) -> Array:
        """Return -1, 0 or 1."""
        ...

    def sinc(self, x: Array) -> Array:
        """Return sin(pi x) / (pi x)."""
        ...

    # --- maths ------------------------------------------------------------------------

    def exp(self, x: Array) -> Array:
        """Return e to the power of ``x``."""
        ...

    def expm1(self, x: Array) -> Array:
        """Return exp(x) - 1 without loss of digits at small ``x``."""
        ...

    def log(self, x: Array) -> Array:
        """Return the natural logarithm; -inf at 0, NaN below."""
        ...

    def log1p(self, x: Array) -> Array:
        """Return log(1 + x) without loss of digits at small ``x``."""
        ...

    def log10(self, x: Array) -> Array:
        """Return the decimal logarithm; -inf at 0, NaN below."""
        ...

    def sqrt(self, x: Array) -> Array:
        """Return the square root; NaN below 0."""
        ...

    def abs(self, x: Array) -> Array:
        """Return the absolute value."""
        ...

    def power(self, x: Array, exponent: Array) -> Array:
        """Return ``x`` to the power of ``exponent``; two integers give an integer."""
        ...

    def square(self, x: Array) -> Array:
        """Return x * x."""
        ...

    def maximum(self, x: Array, y: Array) -> Array:
        """Return the larger of two, NaN where either is."""
        ...

    def minimum(self, x: Array, y: Array) -> Array:
        """Return the smaller of two, NaN where either is."""
        ...

    def clip(self, x: Array, a_min: Any = None, a_max: Any = None) -> Array:
        """Return ``x`` limited to [a_min, a_max]; ``None`` sets no limit."""
        ...

    def mod(self, x: Array, y: Array) -> Array:
        """Return the remainder with the sign of ``y``."""
        ...

    def matmul(self, x: Array, y: Array) -> Array:
        """Return the matrix product, in full precision on every device."""
        ...

    def einsum(self, subscripts: str, *operands: Array) -> Array:
        """Return the sum of products that ``subscripts`` names, in full precision."""
        ...

    # --- statistics -------------------------------------------------------------------

    def mean(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        """Return the mean; NaN of nothing."""
        ...

    def std(self, x: Array, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
        """Return the standard deviation with divisor N - ddof; NaN where that is not positive."""
        ...

    def nanmean(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        """Return the mean of what is not NaN; NaN where nothing is left."""
        ...

    def nanmin(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        """Return the smallest of what is not NaN; NaN where nothing is left."""
        ...

    def nanmax(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        """Return the largest of what is not NaN; NaN where nothing is left."""
        ...

    def sum(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        """Return the sum; integers are summed in 64 bits."""
        ...

    def min(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        """Return the smallest value."""
        ...

    def max(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        """Return the largest value."""
        ...

    def percentile(self, x: Array, q: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
        """Return percentiles ``q`` in [0, 100], linear between neighbours."""
        ...

    def searchsorted(self, sorted_values: Array, x: Array, side: str = "left") -> Array:
        """Return where ``x`` has to be inserted to keep the order."""
        ...

    def argmax(self, x: Array, axis: int | None = None) -> Array:
        """Return the index of the first largest value."""
        ...

    def sort(self, x: Array, axis: int = -1) -> Array:
        """Return the values in ascending order, NaN last."""
        ...

    # --- binning ----------------------------------------------------------------------

    def digitize(self, x: Array, bins: Array, right: bool = False) -> Array:
        """Return the index of the bin of each value: 0 below the first edge."""
        ...

    def bincount(
        self,
        x: Array,
        weights: Array | None = None,
        minlength: int = 0,
        *,
        length: int | None = None,
    ) -> Array:
        """Count (int64), or add float64 ``weights``, per value of a flat integer array.

        With ``length`` the result has a fixed size and values outside [0, length) are
        dropped; without it a negative value is an error.
        """
        ...

    def unique(
        self,
        x: Array,
        *,
        return_inverse: bool = False,
        return_counts: bool = False,
        size: int | None = None,
        fill_value: Any = None,
    ) -> Any:
        """Return the sorted unique values, and tuples with inverse and counts if asked for.

        With ``size`` the result has a fixed size: surplus values are dropped, missing
        ones are ``fill_value`` (the smallest value by default) with count 0.
        """
        ...

    def segment_sum(self, values: Array, segment_ids: Array, num_segments: int) -> Array:
        """Add entries of the first axis per segment; ids outside [0, num_segments) are dropped."""
        ...

    # --- boolean ----------------------------------------------------------------------

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        """Return ``x`` where the condition holds, ``y`` elsewhere."""
        ...

    def isnan(self, x: Array) -> Array:
        """Return where values are NaN."""
        ...

    def isfinite(self, x: Array) -> Array:
        """Return where values are neither NaN nor infinite."""
        ...

    def all(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        """Return whether all are true."""
        ...

    def any(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        """Return whether any is true."""
        ...

    def logical_and(self, x: Array, y: Array) -> Array:
        """Return where both are true."""
        ...

    def logical_or(self, x: Array, y: Array) -> Array:
        """Return where at least one is true."""
        ...

    def nonzero(
        self, x: Array, *, size: int | None = None, fill_value: int = 0
    ) -> tuple[Array, ...]:
        """Return the indices of what is not zero, one array per axis; fixed size if asked for."""
        ...

    def logical_not(self, x: Array) -> Array:
        """Return where it is not true."""
        ...

    # --- manipulation -----------------------------------------------------------------

    def reshape(self, x: Array, shape: Shape) -> Array:
        """Return the same values in another shape, rows first."""
        ...

    def ravel(self, x: Array) -> Array:
        """Return the values in one axis, rows first."""
        ...

    def transpose(self, x: Array, axes: Sequence[int] | None = None) -> Array:
        """Return ``x`` with its axes in another order, reversed by default."""
        ...

    def concatenate(self, xs: Sequence[Array], axis: int | None = 0) -> Array:
        """Return arrays joined along an axis they have."""
        ...

    def stack(self, xs: Sequence[Array], axis: int = 0) -> Array:
        """Return arrays joined along a new axis."""
        ...

    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        """Return ``x`` repeated to a larger shape; do not write into it."""
        ...

    def flip(self, x: Array, axis: Axis = None) -> Array:
        """Return ``x`` in reverse order."""
        ...

    def take(self, x: Array, indices: Array, axis: int | None = None) -> Array:
        """Return entries by index; negative counts from the end, beyond an end is that end."""
        ...

    def pad(self, x: Array, pad_width: Any, mode: str = "constant", **options: Any) -> Array:
        """Return ``x`` with values added around it."""
        ...

    # --- conversion -------------------------------------------------------------------

    def to_numpy(self, x: Array) -> Any:
        """Return a writable ``numpy.ndarray``; this is the way off the device."""
        ...

    def from_numpy(self, x: Any) -> Array:
        """Return a NumPy array as an array of this backend, of the same type."""
        ...

    def astype(self, x: Array, dtype: Any) -> Array:
        """Return ``x`` with another type; fractions are cut off, complex keeps the real part."""
        ...

    # --- compilation, derivatives, loops ----------------------------------------------

    def jit(
        self, fun: Callable[..., Any], *, static_argnames: Sequence[str] = ()
    ) -> Callable[..., Any]:
        """Return ``fun`` compiled, once per function and static names.

        Give functions of a module: one made anew for every call is compiled every time.
        """
        ...

    def grad(
        self, fun: Callable[..., Any], argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
    ) -> Callable[..., Any]:
        """Return the gradient of a scalar function; check ``supports_grad`` first."""
        ...

    def value_and_grad(
        self, fun: Callable[..., Any], argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
    ) -> Callable[..., Any]:
        """Return value and gradient of a scalar function; check ``supports_grad`` first."""
        ...

    def vmap(
        self, fun: Callable[..., Any], in_axes: Any = 0, out_axes: int = 0
    ) -> Callable[..., Any]:
        """Return ``fun`` applied along an axis of its arguments; axis ``None`` is not mapped."""
        ...

    def scan(
        self,
        f: Callable[[Tree, Tree], tuple[Tree, Tree]],
        init: Tree,
        xs: Tree = None,
        length: int | None = None,
        *,
        reverse: bool = False,
    ) -> tuple[Tree, Tree]:
        """Carry a state along the first axis of ``xs``; return the last state, stacked outputs."""
        ...

    def fori_loop(
        self, lower: Any, upper: Any, body_fun: Callable[[Any, Tree], Tree], init_val: Tree
    ) -> Tree:
        """Return the state after ``state = body_fun(i, state)`` for i in [lower, upper)."""
        ...

    def optimization_barrier(self, x: Tree) -> Tree:
        """Return ``x``; a compiler computes and stores it before anything that uses it."""
        ...

    def block_until_ready(self, x: Tree) -> Tree:
        """Return ``x`` once its values have been computed."""
        ...
