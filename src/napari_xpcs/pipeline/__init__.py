"""The main job, one function a step, from file to file and without a screen.

The commands of the command line and the demonstration are these functions; the docks do
the same steps on layers.  Long ones are generators of :class:`~napari_xpcs.progress.Progress`.
"""
