"""Files: the only importer of h5py."""
