"""What the fit dock asks for, and who computes it: NumPy at once, JAX when it is compiled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from napari_xpcs.backends import BackendProtocol, NumPyBackend
from napari_xpcs.fitting.g2_model import G2Model
from napari_xpcs.fitting.global_fit import fit_global
from napari_xpcs.fitting.least_squares import fit_g2
from napari_xpcs.fitting.options import DEFAULT, FitOptions
from napari_xpcs.fitting.results import G2Fit
from napari_xpcs.kernels.curves import G2Curves
from napari_xpcs.plugin.collection import collection_paused
from napari_xpcs.progress import Progress, Steps

_NOTHING: Mapping[str, float] = MappingProxyType({})
_NO_BOUNDS: Mapping[str, tuple[float, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitRequest:
    """The curves of one run or of several, and how they are fitted.

    With ``share`` or ``law`` all bins of all runs are fitted together, else those of the first
    run, each by itself.
    """

    several: tuple[G2Curves, ...]
    model: G2Model
    fixed: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=lambda: _NO_BOUNDS)
    options: FitOptions = DEFAULT
    share: tuple[str, ...] = ()
    law: str | None = None

    @property
    def together(self) -> bool:
        """Whether bins have parameters in common."""
        return bool(self.share or self.law)

    @property
    def program(self) -> tuple[object, ...]:
        """What a compiled program is for; another request with this needs no compiling."""
        shapes = tuple(each.g2.shape for each in self.several) if self.together else ()
        delays = len(self.several[0].delay_s)
        return (self.model.name, self.model.made_from, delays, self.share, self.law, shapes)

    def steps(self, xp: BackendProtocol) -> Steps[G2Fit]:
        """Fit; runs in the thread."""
        if self.together:
            return fit_global(
                self.several,
                self.model,
                share=self.share,
                law=self.law,
                fixed=self.fixed,
                bounds=self.bounds,
                options=self.options,
                xp=xp,
            )
        return fit_g2(
            self.several[0],
            self.model,
            fixed=self.fixed,
            bounds=self.bounds,
            options=self.options,
            xp=xp,
        )

    def one_bin(self, label: int, last: G2Fit | None = None) -> Steps[G2Fit]:
        """Fit one bin by itself, in milliseconds: for what is dragged.

        It sets out from the ``last`` fit of the bin with this model, if there is one.
        """
        return fit_g2(
            self.several[0],
            self.model,
            bins=[label],
            fixed=self.fixed,
            bounds=self.bounds,
            options=self._near(label, last),
            xp=NumPyBackend(),
        )

    def _near(self, label: int, last: G2Fit | None) -> FitOptions:
        """Return the options with the end of the last fit as the only start."""
        rows = [] if last is None else list(np.flatnonzero(last.bins.label == label))
        if last is None or not rows or last.names != self.model.names:
            return self.options
        start = {
            each.name: float(value)
            for each, value in zip(self.model.parameters, last.optimum[rows[0]], strict=True)
            if np.isfinite(value) and each.name not in self.fixed and (value > 0 or not each.log)
        }
        return replace(self.options, start=start, starts=1) if start else self.options


def compile_steps(request: FitRequest) -> Steps[tuple[object, ...]]:
    """Have JAX compile what ``request`` needs, by fitting; returns its program.

    Nothing is compiled where the backend is NumPy.
    """
    from napari_xpcs.backends import get_backend

    yield Progress(0, 1, "compiling")
    with collection_paused():
        xp = get_backend()
        if xp.supports_grad:
            yield from request.steps(xp)
    return request.program


def fit_steps(request: FitRequest, compiled: Sequence[tuple[object, ...]]) -> Steps[G2Fit]:
    """Fit with JAX where it is ``compiled``, else with NumPy, which needs no start."""
    from napari_xpcs.backends import get_backend

    xp = get_backend() if request.program in compiled else NumPyBackend()
    return (yield from request.steps(xp))
