"""The same correlation on a cluster of ``dask.distributed``: parts of a run, joined in a tree.

A part is a span of time: chunks of a file are whole frames, so every frame is read once.  Every
worker opens the file itself, adds up its part with the engine and the threads that it has, and
neighbours are joined where they are.  All sums are of whole counts, so the result is that of one
computer bit for bit.  A part that fails is done again, and a worker that is lost costs its parts.

The scheduler holds no frames and no states, and the client gets the finished result alone.
"""
