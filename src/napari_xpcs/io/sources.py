"""The other files that an HDF5 dataset is made of.

HDF5 itself returns the fill value (zeros) for sources of a virtual dataset that are missing,
so they are looked for here, before anything is read.
"""

from pathlib import Path

import h5py


def locate(master: Path, name: str) -> Path | None:
    """Return where HDF5 finds a source: as named, beside the master, or in the working folder."""
    wanted = Path(name)
    beside = master.parent / (wanted.name if wanted.is_absolute() else wanted)
    places = (wanted, beside) if wanted.is_absolute() else (beside, wanted)
    return next((place for place in places if place.is_file()), None)


def named(names: tuple[str, ...]) -> str:
    """Return the first of ``names`` and how many more there are."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


MAX_DEPTH = 8
"""Virtual datasets of virtual datasets; deeper nesting is taken for a circle."""


def missing_sources(dataset: h5py.Dataset, depth: int = 0) -> tuple[str, ...]:
    """Return the files, or datasets in files, that ``dataset`` needs and that are not there."""
    if depth > MAX_DEPTH:
        return (f"{dataset.name} (which is made of itself)",)
    master = Path(dataset.file.filename)
    if not dataset.is_virtual:
        stored = {entry[0] for entry in dataset.external or ()}
        return tuple(name for name in sorted(stored) if locate(master, name) is None)
    missing: set[str] = set()
    for file_name, inner in {(s.file_name, s.dset_name) for s in dataset.virtual_sources()}:
        # A printf-style mapping stands for a series; block 0 is its first.
        missing.update(
            missing_part(
                dataset.file, file_name.replace("%b", "0"), inner.replace("%b", "0"), depth
            )
        )
    return tuple(sorted(missing))


def missing_part(master: h5py.File, file_name: str, inner: str, depth: int = 0) -> tuple[str, ...]:
    """Return what is missing of the source ``inner`` in ``file_name`` of a virtual dataset."""
    if file_name == ".":
        return _missing_in(master, inner, depth)
    located = locate(Path(master.filename), file_name)
    if located is None or not h5py.is_hdf5(located):
        return (file_name,)
    with h5py.File(located, "r") as file:
        return _missing_in(file, inner, depth)


def _missing_in(file: h5py.File, inner: str, depth: int) -> tuple[str, ...]:
    """Look behind a source: it may be a link to, or a virtual dataset of, yet other files."""
    found = file.get(inner)
    if isinstance(found, h5py.Dataset):
        return missing_sources(found, depth + 1)
    link = file.get(inner, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        return (str(link.filename),)
    return (f"{Path(file.filename).name}:{inner}",)
