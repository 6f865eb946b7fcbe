"""The house itself: direction of imports, style, manifest, what loads when, what is tracked."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from npe2 import PluginManifest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import napari_xpcs

ROOT = Path(__file__).resolve().parents[1]

# Seconds each, cold: they may load in a worker, never while napari builds its menus.
HEAVY = {"jax", "equinox", "lineax", "matplotlib", "numpyro", "optimistix"}

INDEX_ADDRESS = re.compile(
    r"index[-_]url|find[-_]links|https?://\S+/simple\b|files\.python\w+|file:/{2}"
)
CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:home|root|Users|opt|work|tmp)/\w")


def run(*command: str | Path) -> str:
    """Return what ``command`` prints in the project folder; fail with it if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}", pytrace=False)
    return done.stdout


def loaded_after(code: str) -> set[str]:
    """Names of the heavy packages that a fresh interpreter has loaded after ``code``."""
    report = f"\nimport json, sys\nprint(json.dumps(sorted({HEAVY!r} & sys.modules.keys())))"
    return set(json.loads(run(sys.executable, "-c", code + report).splitlines()[-1]))


def tracked_files() -> list[Path]:
    """Text files under version control."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing says which files are tracked")
    # The owner of the folder may differ from the user (a container, a mount); only names are read.
    names = run("git", "-c", "safe.directory=*", "ls-files", "-z").split("\0")
    files = [ROOT / name for name in names if name]
    return [file for file in files if file.is_file() and b"\0" not in file.read_bytes()]


def offending_lines(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in tracked_files()
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_imports_point_the_agreed_way():
    run(Path(sys.executable).with_name("lint-imports"))


def test_lint_finds_nothing():
    run(sys.executable, "-m", "ruff", "check", "--output-format=concise", ".")


def test_files_are_formatted():
    run(sys.executable, "-m", "ruff", "format", "--check", "--output-format=concise", ".")


def test_types_agree():
    run(sys.executable, "-m", "mypy")


def test_manifest_is_found_and_every_command_resolves():
    manifest = PluginManifest.from_distribution("napari-xpcs")
    manifest.validate_imports()


def test_manifest_in_the_package_is_the_one_at_the_root():
    assert (ROOT / "src/napari_xpcs/napari.yaml").samefile(ROOT / "napari.yaml")


def test_import_loads_nothing_heavy():
    assert loaded_after("import napari_xpcs") == set()


def test_help_loads_nothing_heavy():
    code = """
import sys
from napari_xpcs.cli import main
sys.argv = ["napari-xpcs", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    assert loaded_after(code) == set()


def test_sniffing_a_file_loads_nothing_heavy(tmp_path):
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.zeros((4, 8, 8), dtype=np.uint16)
    manifest = yaml.safe_load((ROOT / "napari.yaml").read_text())
    command = manifest["contributions"]["readers"][0]["command"]
    python_names = {c["id"]: c["python_name"] for c in manifest["contributions"]["commands"]}
    module, function = python_names[command].split(":")
    assert loaded_after(f"from {module} import {function}\n{function}({str(path)!r})") == set()


def test_no_index_address_is_tracked():
    assert offending_lines(INDEX_ADDRESS) == []


def test_no_path_of_one_machine_is_tracked():
    assert offending_lines(MACHINE_PATH) == []


def test_no_control_character_is_tracked():
    """Such as the backspace that ``\\b`` becomes where a string is not raw."""
    assert offending_lines(CONTROL_CHARACTER) == []


def test_every_requirement_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"], *extras["docs"]]
    pinned = {
        canonicalize_name(Requirement(line).name)
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    assert {canonicalize_name(Requirement(line).name) for line in wanted} - pinned == set()


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    changelog = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changelog is not None
    assert (citation, changelog[1]) == (napari_xpcs.__version__,) * 2
