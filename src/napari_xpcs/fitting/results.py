"""The outcome of a fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.fitting.g2_model import G2Model, unit_scale
from napari_xpcs.fitting.models import G2_MODELS
from napari_xpcs.fitting.options import FitOptions
from napari_xpcs.kernels.curves import BinTable

FitStatus: TypeAlias = Literal["ok", "at_bound", "not_identifiable", "no_data", "failed"]
"""First word of a status; after it, unless it is ``ok``, a colon and the reason in words."""

ErrorKind: TypeAlias = Literal["stated", "scaled", "scatter", "covariance", "robust"]
"""Where the error of a parameter comes from.

``stated``: from the errors of g2 as they are.  ``scaled``: these were smaller than the scatter
of the curve about the model, the result is multiplied by sqrt(reduced chi2).  ``scatter``: the
curve has no errors, all points weigh alike and their scatter is the error.  ``covariance``:
from the covariance of g2 between delays as it was measured, whatever the weights of the fit.
``robust``: from the scatter, outliers counting less.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRecord:
    """Everything that is needed to do a fit again, beside the curves themselves.

    Parameters
    ----------
    sources
        Files or layers that the curves came from.
    curves_sha256
        Of delays, g2, errors and covariance of all curves that were given.
    bins
        Labels that were asked for, None for all.
    fixed, bounds, options
        As they were given.
    share, law
        Of a global fit.
    backend, versions
        What solved it.
    """

    sources: tuple[str, ...]
    curves_sha256: str
    bins: tuple[int, ...] | None
    fixed: Mapping[str, float]
    bounds: Mapping[str, tuple[float, float]]
    options: FitOptions
    share: tuple[str, ...] = ()
    law: str | None = None
    backend: str
    versions: Mapping[str, str]

    def facts(self) -> dict[str, object]:
        """Return plain values that JSON can hold."""
        options = self.options
        ranges = options.fit_range
        return {
            "sources": list(self.sources),
            "curves_sha256": self.curves_sha256,
            "bins": None if self.bins is None else list(self.bins),
            "fixed": dict(self.fixed),
            "bounds": {name: list(pair) for name, pair in self.bounds.items()},
            "tied": dict(options.tied),
            "start": dict(options.start),
            "starts": options.starts,
            "delay_range_s": None if isinstance(ranges, Mapping) else _range(options.range_of(0)),
            "delay_range_s_of_bin": {
                str(label): _range(options.range_of(label)) for label in ranges
            }
            if isinstance(ranges, Mapping)
            else {},
            "robust": options.robust,
            "error_floor": options.error_floor,
            "errors": options.errors,
            "share": list(self.share),
            "law": self.law,
            "backend": self.backend,
            "versions": dict(self.versions),
        }


def _range(pair: tuple[float, float]) -> list[float | None]:
    """Return the ends of a range, None where it has none."""
    return [number if isfinite(number) else None for number in pair]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A parameter that several bins have in common, with its error (1 sigma).

    ``status`` is ``ok``, or ``at_bound`` or ``not_identifiable`` with the reason; value and error
    are then NaN.  ``source`` is the file whose bins have it in common, "" for all.
    ``q_reference`` (1/angstrom) is where a ``tau0_s`` holds.
    """

    name: str
    unit: str
    value: float
    error: float
    status: str
    n_bins: int
    source: str = ""
    q_reference: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class G2Fit:
    """Parameters of one model for many bins; row i of every array belongs to ``bins`` entry i.

    Parameters
    ----------
    model
        Key in :data:`napari_xpcs.fitting.models.G2_MODELS`.
    names, units
        Parameter names, baseline and contrast first, and their units.
    bins
        The fitted bins.
    value, error
        Parameters and their standard errors (1 sigma).  NaN where the curve does not determine
        the parameter; the error of a fixed parameter is 0.
    status
        ``ok``, or ``at_bound``, ``not_identifiable``, ``no_data``, ``failed`` followed by
        ``: `` and the reason in words.
    reduced_chi2
        chi2 per degree of freedom; NaN where nothing was fitted or there are no errors.
    n_points
        Points of the curve that were used.
    covariance
        Of ``value``, consistent with ``error``; NaN where a parameter is not determined.
    error_kind
        Where the errors come from, per bin.
    optimum
        Where the fit ended, determined or not: for drawing the curve, not for tables.
    fixed
        Parameters that were held, with their values.
    backend
        Name of the backend that solved it.
    error_floor
        What was added in square to the errors of g2, per bin.
    definition
        The model itself; None stands for the one of the table.
    record
        Everything that is needed to do the fit again.
    shared
        Parameters of a global fit that the bins have in common.
    sources
        The file of every bin where there are several, else empty.
    """

    model: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    bins: BinTable
    value: Float[np.ndarray, "bin param"]
    error: Float[np.ndarray, "bin param"]
    status: tuple[str, ...]
    reduced_chi2: Float[np.ndarray, " bin"]
    n_points: Int[np.ndarray, " bin"]
    covariance: Float[np.ndarray, "bin param param"]
    error_kind: tuple[ErrorKind, ...]
    optimum: Float[np.ndarray, "bin param"]
    fixed: Mapping[str, float]
    backend: str
    error_floor: Float[np.ndarray, " bin"] | None = None
    definition: G2Model | None = None
    record: FitRecord | None = None
    shared: tuple[Shared, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def g2_model(self) -> G2Model:
        """The model, from the table or of the user's own."""
        return self.definition or G2_MODELS[self.model]

    @property
    def ok(self) -> Bool[np.ndarray, " bin"]:
        """Which bins have the status ``ok``."""
        return np.array([status == "ok" for status in self.status], dtype=bool)

    def curve(
        self, bin_index: int, delay_s: Float[np.ndarray, " delay"]
    ) -> Float[np.ndarray, " delay"]:
        """Return the fitted g2 of row ``bin_index`` at delays in s; NaN where there is no fit.

        The decay itself: not averaged over the sums of frames of a correlator.
        """
        model = self.g2_model
        scale = unit_scale(model, self.bins.q[bin_index : bin_index + 1], 1.0)[0]
        baseline, contrast, *theta = self.optimum[bin_index] / scale
        shape = model.shape(delay_s, *theta, xp=NumPyBackend())
        return np.asarray(baseline + contrast * shape)
