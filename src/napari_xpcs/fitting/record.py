"""What is noted of a fit, so that it can be done again: :func:`record_of`."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

import numpy as np

from napari_xpcs.fitting.options import FitOptions
from napari_xpcs.fitting.results import FitRecord
from napari_xpcs.kernels.curves import G2Curves

_PACKAGES = ("napari-xpcs", "numpy", "jax", "optimistix", "numpyro")


def record_of(
    curves: G2Curves,
    bins: Sequence[int] | None,
    fixed: Mapping[str, float],
    bounds: Mapping[str, tuple[float, float]],
    options: FitOptions,
    backend: str,
    *,
    sources: Sequence[str] = (),
    share: Sequence[str] = (),
    law: str | None = None,
) -> FitRecord:
    """Return the record of a fit of ``bins``, None for all, to ``curves``."""
    return FitRecord(
        sources=tuple(sources) or (curves.source,),
        curves_sha256=curves_hash(curves),
        bins=None if bins is None else tuple(int(label) for label in bins),
        fixed=MappingProxyType(dict(fixed)),
        bounds=MappingProxyType(dict(bounds)),
        options=options,
        share=tuple(share),
        law=law,
        backend=backend,
        versions=_versions(),
    )


def curves_hash(curves: G2Curves) -> str:
    """Return the SHA-256 of what a fit takes from curves; that of equal curves is equal."""
    digest = hashlib.sha256()
    for array in (
        curves.delay_s,
        curves.g2,
        curves.error,
        curves.bins.label,
        curves.bins.q,
        curves.covariance,
        curves.averaging_s,
    ):
        numbers = np.zeros(0) if array is None else np.ascontiguousarray(array, dtype="<f8")
        digest.update(repr(numbers.shape).encode())
        # One bit pattern for every NaN.
        digest.update(np.where(np.isnan(numbers), np.nan, numbers).tobytes())
    return digest.hexdigest()


@cache
def _versions() -> Mapping[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # an optional one
            continue
    return MappingProxyType(found)
