"""A paper's table again: every row run for its seeds, our number beside the published one.

`rows` finds the experiments of a paper, `runs` runs them, `result` condenses the runs of a row into
what is stored, `table` and `page` show and write rows, `store` keeps them in `results/` and writes
its README.
"""
