"""What docstrings and pages refer to is there: a module, or what one defines, by its address."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import napari_xpcs

SOURCE = Path(napari_xpcs.__file__).parent
REFERENCE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):`~?([\w.]+)`")
ELSEWHERE = ("numpy.",)
IMPORT = re.compile(r"^\s*from (napari_xpcs[\w.]*) import ([\w, ]+)$", re.MULTILINE)


def defined(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements define or import; of a class also its members."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            yield from (name.id for name in ast.walk(node) if isinstance(name, ast.Name))
        elif isinstance(node, ast.If):
            yield from defined(node.body)
        elif isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield node.name
            on_self = (name.attr for name in ast.walk(node) if isinstance(name, ast.Attribute))
            for member in (*defined(node.body), *on_self):
                yield from (member, f"{node.name}.{member}")


def leads_somewhere(reference: str, module: str, names: dict[str, set[str]]) -> bool:
    head, inside = reference, ""
    while head and head not in names:
        head, _, last = head.rpartition(".")
        inside = f"{last}.{inside}".strip(".")
    # What a module imports is there too: a class, of which any member is taken to be one.
    known = names[head or module]
    return not inside or inside in known or inside.partition(".")[0] in known


@pytest.fixture(scope="module")
def modules() -> dict[str, str]:
    """Return the text of every module."""
    return {
        ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): file.read_text(encoding="utf-8")
        for file in SOURCE.rglob("*.py")
    }


@pytest.fixture(scope="module")
def names(modules: dict[str, str]) -> dict[str, set[str]]:
    """Return what every module defines or imports."""
    return {module: set(defined(ast.parse(text).body)) for module, text in modules.items()}


def test_references_lead_somewhere(modules, names):
    lost = [
        f"{module}: {reference}"
        for module, text in modules.items()
        for reference in REFERENCE.findall(text)
        if not reference.startswith(ELSEWHERE) and not leads_somewhere(reference, module, names)
    ]
    assert lost == []


def test_imports_on_pages_lead_somewhere(names):
    root = Path(__file__).resolve().parents[1]
    lost = [
        f"{page.name}: {module} has no {name}"
        for page in (root / "README.md", *(root / "docs").rglob("*.md"))
        for module, listed in IMPORT.findall(page.read_text(encoding="utf-8"))
        for name in listed.replace(" ", "").split(",")
        if name not in names.get(module, ()) and f"{module}.{name}" not in names
    ]
    assert lost == []
