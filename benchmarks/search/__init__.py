"""The index beside its peers, on the same vectors. `python -m benchmarks.search`."""
