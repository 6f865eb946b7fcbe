"""What napari shows: the only importer of napari, Qt and matplotlib."""
