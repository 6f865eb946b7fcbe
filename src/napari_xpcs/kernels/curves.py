"""g2 curves and the bins they belong to."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BinTable:
    """Where the bins lie; entry k-1 belongs to label k of the label image.

    ``q`` in 1/angstrom, ``phi_deg`` in degrees; NaN where it is unknown or has no meaning.
    ``pixels`` counts unmasked pixels, 0 where it is unknown.
    """

    label: Int[np.ndarray, " bin"]
    q: Float[np.ndarray, " bin"]
    phi_deg: Float[np.ndarray, " bin"]
    pixels: Int[np.ndarray, " bin"]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: Int[np.ndarray, " chosen"] | Bool[np.ndarray, " bin"]) -> "BinTable":
        """Return the table of some of the bins."""
        return BinTable(
            label=self.label[rows],
            q=self.q[rows],
            phi_deg=self.phi_deg[rows],
            pixels=self.pixels[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class G2Curves:
    """g2 of every dynamic bin over one list of delays.

    Parameters
    ----------
    delay_s
        Delays, s.  Where bins have delays of their own this is the union of them.
    g2, error
        g2 and its standard error (1 sigma).  NaN where nothing was measured: the
        "g2 = 0 with error 0" of the files of the field becomes NaN on reading.
    bins
        The bin of each column.
    source
        File or layer that the curves come from.
    covariance
        Of g2 between the delays of a bin where it was measured: neighbouring delays share
        frames, which ``error`` cannot tell.  NaN where g2 is.
    averaging_s
        Half-width, s, of the triangle of delays that g2 is an average over, where it is known:
        above the first level, a multi-tau correlator adds frames up before it multiplies.
    """

    delay_s: Float[np.ndarray, " delay"]
    g2: Float[np.ndarray, "delay bin"]
    error: Float[np.ndarray, "delay bin"]
    bins: BinTable
    source: str = ""
    covariance: Float[np.ndarray, "bin delay delay"] | None = None
    averaging_s: Float[np.ndarray, " delay"] | None = None


def bin_text(table: BinTable, column: int) -> str:
    """Return which bin it is, in words with units."""
    text = f"bin {table.label[column]}"
    if np.isfinite(table.q[column]):
        text += f", q = {table.q[column]:.4g} 1/Å"
    known = table.phi_deg[np.isfinite(table.phi_deg)]
    if np.isfinite(table.phi_deg[column]) and np.ptp(known) > 0:
        text += f", φ = {table.phi_deg[column]:.1f}°"
    return text
