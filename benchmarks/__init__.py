"""fedket and its peers side by side; start with `python -m benchmarks.gradient`."""
