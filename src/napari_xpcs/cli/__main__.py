"""``python -m napari_xpcs.cli``."""

from napari_xpcs.cli import main

main()
