"""The steps of a mask beside the mask in a Q-map file: one JSON text, with a version."""

import json
from collections.abc import Sequence

import h5py

from napari_xpcs.errors import MaskError
from napari_xpcs.io.hdf5 import read_texts
from napari_xpcs.kernels.mask_step_dicts import read_steps, steps_to_dicts
from napari_xpcs.kernels.mask_steps import MaskStep

MASK_STEPS = "mask_steps"
VERSION = 1


def write_mask_steps(group: h5py.Group, steps: Sequence[MaskStep]) -> None:
    """Write ``steps`` into the group of our own beside the mask."""
    text = json.dumps({"version": VERSION, "steps": steps_to_dicts(steps)})
    group.create_dataset(MASK_STEPS, data=text, dtype=h5py.string_dtype())


def read_mask_steps(file: h5py.File, group: str, notes: list[str]) -> tuple[MaskStep, ...]:
    """Return the steps in ``group``, none where there are none.

    Steps that are damaged or of a later version are left out and told in ``notes``: the mask
    itself is whole without them.
    """
    texts = read_texts(file, f"{group}/{MASK_STEPS}")
    if not texts:
        return ()
    try:
        content = json.loads(texts[0])
        version = content.get("version") if isinstance(content, dict) else None
        if version != VERSION:
            msg = f"expected version {VERSION}, got {version!r}."
            raise MaskError(msg)
        return read_steps(content.get("steps"))
    except (json.JSONDecodeError, MaskError) as fault:
        notes.append(f"The steps of the mask are left out, the mask itself is there: {fault}")
        return ()
