"""A recipe says what the options say: the same result file, whatever was chosen."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from napari_xpcs.backends import NumPyBackend, reset_backend, set_backend
from napari_xpcs.cli import main
from napari_xpcs.io.correlate_choices import CorrelateChoices, command_options
from napari_xpcs.io.recipe import Recipe, read_recipe
from napari_xpcs.kernels.multitau import G2_ERRORS, NORMALIZATIONS
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.simulation import Simulation
from napari_xpcs.kernels.twotime import SMOOTHINGS
from napari_xpcs.pipeline.bins import partition_file
from napari_xpcs.pipeline.simulate import simulate_file
from napari_xpcs.progress import run

OF_THE_CALL = ("output", "seconds", "analysis_time")

of_all = {
    "begin": st.integers(0, 3),
    "end": st.none() | st.integers(30, 40),
    "stride": st.integers(1, 2),
    "average": st.integers(1, 2),
    "skip_frames": st.just(()) | st.just((5, 9)),
    "skip_corrupt": st.booleans(),
    "frame_time_s": st.none() | st.floats(1e-6, 10.0),
    "dataset": st.sampled_from([None, "/entry/data/data"]),
    "engine": st.sampled_from(["auto", "dense", "numba", "array"]),
    "delays_per_level": st.sampled_from([4, 8]),
}
of_g2 = {
    "normalization": st.sampled_from(NORMALIZATIONS),
    "normalize_frame": st.booleans(),
    "errors": st.sampled_from(G2_ERRORS),
    "partials": st.integers(0, 2),
    "save_g2_pixels": st.booleans(),
}
of_twotime = {
    "bins": st.sampled_from([None, (2,), (2, 1)]),
    "smoothing": st.sampled_from(SMOOTHINGS),
    "maps": st.sampled_from(["auto", "full", "ages"]),
}
choices = st.one_of(
    st.builds(CorrelateChoices, type=st.just("multitau"), **of_all, **of_g2),
    st.builds(CorrelateChoices, type=st.just("twotime"), **of_all, **of_twotime),
    st.builds(CorrelateChoices, type=st.just("both"), **of_all, **of_g2, **of_twotime),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and its bins."""
    folder = tmp_path_factory.mktemp("run")
    small = Simulation(frames=40, rows=12, cols=12)
    run(simulate_file(folder / "run.h5", small, xp=NumPyBackend()))
    partition_file(
        folder / "bins.hdf",
        frames=folder / "run.h5",
        values={},
        spec=PartitionSpec(dq=2, sq=4),
        xp=NumPyBackend(),
    )
    return folder


def contents(path: Path) -> dict[str, np.ndarray]:
    """Return all that a result file holds but for when and where it was made."""
    found: dict[str, np.ndarray] = {}

    def add(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and name.rpartition("/")[2] not in OF_THE_CALL:
            found[name] = np.asarray(item)

    with h5py.File(path) as file:
        file.visititems(add)
    return found


@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # each example is two runs of the command
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(chosen=choices, suffix=st.sampled_from([".yaml", ".json"]))
@example(chosen=CorrelateChoices(), suffix=".yaml")
@example(chosen=CorrelateChoices(end=9, errors="segments"), suffix=".yaml")  # spans of a frame
def test_options_and_recipes_make_the_same_file(
    chosen: CorrelateChoices, suffix: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = folder / f"saved{suffix}"

    def correlate(name: str, *options: object) -> dict[str, np.ndarray]:
        words = ["correlate", folder / "run.h5", "--qmap", folder / "bins.hdf", "--force", *options]
        command = ["napari-xpcs", *map(str, words), "-o", str(folder / name)]
        monkeypatch.setattr(sys, "argv", command)
        set_backend("numpy")
        with pytest.raises(SystemExit) as stop:
            main()
        reset_backend()
        assert not stop.value.code, command
        return contents(folder / name)

    typed = correlate("typed.hdf", *command_options(chosen), "--save-recipe", saved)
    assert read_recipe(saved) == Recipe(correlate=chosen)
    of_recipe = correlate("of_recipe.hdf", "--recipe", saved)
    assert of_recipe.keys() == typed.keys()
    for name, values in typed.items():
        np.testing.assert_array_equal(of_recipe[name], values, err_msg=name)
