"""Reading HDF5 with faults that say what is wrong with which file.

hdf5plugin is imported here, before any file is opened, so that every filter of the field
(bitshuffle+LZ4 above all) is registered.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  registers the filters
import numpy as np

from napari_xpcs.backends.io_adapter import hdf5_adapter
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.sources import locate, missing_sources, named

COMPRESS_ABOVE = 8192
"""Elements; what boost_corr does, lzf being in every h5py."""

HDF5_SUFFIXES = frozenset({".h5", ".hdf", ".hdf5", ".nxs", ".nx", ".nx5", ".he5", ".cxi"})
"""Names under which a user expects HDF5; other names are opened too if the content is HDF5."""

_READ_FAULTS = (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeDecodeError)
"""What h5py raises on damaged content; it promises nothing narrower."""


_REASONS = {
    "truncated": "it is cut short",
    "open for SWMR": "another program is writing it and lets nobody read meanwhile",
}
"""What HDF5 says, in plain words."""


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open ``path`` for reading.

    Raises
    ------
    FileFormatError
        Nothing there, a folder, not HDF5, or HDF5 that is cut short or damaged.
    """
    if not path.exists():
        msg = f"There is no file {path}."
        raise FileFormatError(msg)
    if path.is_dir():
        msg = f"{path} is a folder; choose a file in it."
        raise FileFormatError(msg)
    try:
        is_hdf5 = h5py.is_hdf5(path)
        file = _open_beside_a_writer(path) if is_hdf5 else None
    except PermissionError as fault:
        msg = f"{path} cannot be read: you have no permission to."
        raise FileFormatError(msg) from fault
    except OSError as fault:
        reason = next((said for sign, said in _REASONS.items() if sign in str(fault)), f"{fault}")
        msg = f"{path.name} is HDF5 but cannot be opened: {reason}. Copy or write it again."
        raise FileFormatError(msg) from fault
    if file is None:
        msg = f"{path.name} is not an HDF5 file, although one was expected from its name or use."
        raise FileFormatError(msg)
    with file:
        yield file


def _open_beside_a_writer(path: Path) -> h5py.File:
    """Open for reading, also while the beamline writes or where a network drive knows no locks."""
    try:
        return h5py.File(path, "r")
    except OSError as fault:
        if not any(sign in str(fault) for sign in ("lock", "already open for write")):
            raise
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as fault:
        if "already open for write" not in str(fault):
            raise
    return h5py.File(path, "r", swmr=True, locking=False)


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn what h5py raises on damaged content into one sentence about ``what`` in ``path``."""
    try:
        yield
    except _READ_FAULTS as fault:
        msg = f"{what} in {path.name} cannot be read: {_first_line(fault)}."
        raise FileFormatError(msg) from fault


def _first_line(fault: BaseException) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    text = str(fault.args[0]) if fault.args else type(fault).__name__
    return (text.splitlines() or [type(fault).__name__])[0].rstrip(".")


def open_dataset(file: h5py.File, name: str, *, sources_needed: bool = True) -> h5py.Dataset:
    """Return the dataset ``name`` once its sources and filters are known to be there.

    Without ``sources_needed`` the caller looks himself which parts of a virtual dataset exist.

    Raises
    ------
    FileFormatError
        It is absent, is a group, lies in a file that is missing (external link, virtual or
        external storage), or needs a filter that is not installed.
    """
    path = Path(file.filename)
    with reading(path, name):
        found = file.get(name)
    if found is None:
        _explain_absence(file, name)
    if not isinstance(found, h5py.Dataset):
        msg = f"{name} in {path.name} is a group, not a dataset."
        raise FileFormatError(msg)
    if sources_needed:
        with reading(path, name):
            missing = missing_sources(found)
        if missing:
            raise sources_fault(path, name, missing)
    _require_filters(found, name)
    return found


def sources_fault(path: Path, name: str, missing: tuple[str, ...]) -> FileFormatError:
    """Return the fault that the files ``missing`` hold parts of the dataset ``name``."""
    return FileFormatError(
        f"{name} in {path.name} is made of other files, and {named(missing)} cannot be found or "
        f"does not hold its part. Put the data files beside {path.name}."
    )


def link_fault(path: Path, name: str, link: h5py.ExternalLink) -> FileFormatError:
    """Return the fault that ``name`` is a link into a file that is not there."""
    return FileFormatError(
        f"{name} in {path.name} links to {link.path} in {link.filename}, which is missing. "
        f"Put that file beside {path.name}."
    )


def _explain_absence(file: h5py.File, name: str) -> None:
    """Raise with the missing file of the first broken external link on the way to ``name``."""
    path = Path(file.filename)
    walked = ""
    for part in name.strip("/").split("/"):
        walked = f"{walked}/{part}"
        with reading(path, walked):
            link = file.get(walked, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise link_fault(path, walked, link)
        if link is None:
            break
    msg = f"{path.name} holds no {name}."
    raise FileFormatError(msg)


def _require_filters(dataset: h5py.Dataset, name: str) -> None:
    properties = dataset.id.get_create_plist()
    for number in range(properties.get_nfilters()):
        identifier, _, _, filter_name = properties.get_filter(number)
        if not h5py.h5z.filter_avail(identifier):
            label = filter_name.decode(errors="replace") or "unnamed"
            msg = (
                f"{name} in {Path(dataset.file.filename).name} is compressed with the HDF5 filter "
                f"{identifier} ({label}), which hdf5plugin does not provide. Install that filter "
                "or write the file again with bitshuffle+LZ4."
            )
            raise FileFormatError(msg)


def holds(file: h5py.File, name: str) -> bool:
    """Say whether there is something at ``name``.

    Raises
    ------
    FileFormatError
        The way to it is damaged.
    """
    with reading(Path(file.filename), name):
        return name in file


def read_array(file: h5py.File, name: str) -> np.ndarray | None:
    """Return the numbers of the dataset ``name``, or ``None`` where there is none.

    Raises
    ------
    FileFormatError
        It is there but is no numeric array, or cannot be read.
    """
    path = Path(file.filename)
    if not holds(file, name):
        return None
    dataset = open_dataset(file, name)
    with reading(path, name):
        value = np.asarray(dataset[()])
    if value.dtype.kind not in "biuf":
        msg = f"{name} in {path.name} holds {value.dtype}, numbers were expected."
        raise FileFormatError(msg)
    return value.astype(value.dtype.newbyteorder("="), copy=False)


def read_number(file: h5py.File, name: str) -> float | None:
    """Return the number stored at ``name`` as a scalar, (1,), (1, 1) or text, else ``None``."""
    values = _read_plain(file, name)
    if values is None or values.size != 1:
        return None
    value = values.reshape(-1)[0]
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def read_texts(file: h5py.File, name: str) -> tuple[str, ...]:
    """Return the strings stored at ``name`` (one or many, bytes or text), empty if none."""
    values = _read_plain(file, name)
    return () if values is None else tuple(_text(value) for value in values.reshape(-1))


def read_unit(file: h5py.File, name: str) -> str:
    """Return the ``units`` (also ``unit``) attribute of what stands at ``name``, or nothing."""
    with reading(Path(file.filename), name):
        found = file.get(name)
        attributes = {} if found is None else found.attrs
        told = next((attributes[key] for key in ("units", "unit") if key in attributes), "")
        if isinstance(told, np.ndarray) and told.size == 1:
            told = told.reshape(-1)[0]
        return _text(told).strip() if isinstance(told, bytes | str) else ""


def read_plain(dataset: h5py.Dataset) -> Any:
    """Return a small dataset as a Python scalar, text or list; what configurations hold."""
    values = np.asarray(dataset[()])
    plain = [
        _text(value) if isinstance(value, bytes | str) else value
        for value in values.reshape(-1).tolist()
    ]
    return plain[0] if values.size == 1 else plain


def _read_plain(file: h5py.File, name: str) -> np.ndarray | None:
    # A group in the place of a scalar is common ("definition" of 2025 files): it holds no value.
    with reading(Path(file.filename), name):
        found = file.get(name)
        return np.asarray(found[()]) if isinstance(found, h5py.Dataset) else None


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def find_broken_links(file: h5py.File) -> list[str]:
    """Return the names of the missing files that external links of ``file`` point to."""
    master = Path(file.filename)
    found: set[str] = set()

    def visit(_: str, link: object) -> None:
        if isinstance(link, h5py.ExternalLink) and locate(master, str(link.filename)) is None:
            found.add(str(link.filename))

    with reading(master, "The list of links"):
        file.visititems_links(visit)
    return sorted(found)


def put_array(file: h5py.File, name: str, values: Any, **options: Any) -> None:
    """Write floats as float32 and compress what is large, as boost_corr does."""
    array = hdf5_adapter.to_numpy(values)
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    options = {"compression": "lzf", **options} if array.size > COMPRESS_ABOVE else {}
    file.create_dataset(name, data=array, **options)
