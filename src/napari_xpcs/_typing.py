"""Array types of this package.

Axis words used in shapes: ``frame row col pixel bin qbin phibin delay level param
draw chain``; ``bin`` counts labels 1..N of a partition, entry k-1 belongs to label k.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

Array: TypeAlias = Any
"""An array of the active backend (``numpy.ndarray`` or ``jax.Array``)."""

ScalarLike: TypeAlias = float | Float[Array, ""]

Image: TypeAlias = Shaped[np.ndarray, "row col"]
Mask: TypeAlias = Bool[np.ndarray, "row col"]
"""True = the pixel is used."""
LabelImage: TypeAlias = Int[np.ndarray, "row col"]
"""0 = the pixel is not used, labels 1..N without holes."""
