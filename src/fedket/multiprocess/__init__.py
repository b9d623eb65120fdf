"""One experiment in several processes, joined by `jax.distributed`; process 0 leads.

`together` takes part in a run as the command line does; `processes` are the meetings that
everything else here is made of.
"""
