"""Sites whose faults ended rounds without a sum.

Each sits out the next round, after another fault the next two, then four and so on: one that spoils
every round it is in does not end the run, and one that was unlucky is soon in again. One at a time,
the one with most faults: a site that makes others look guilty must not shrink the sum to few.
"""

from collections.abc import Collection


class Spoilers:
    """Who sits out which rounds."""

    def __init__(self) -> None:
        self._faults: dict[int, int] = {}
        self._until: dict[int, int] = {}

    def blame(self, sites: Collection[int], round_num: int) -> None:
        """Note that a round was lost because of these sites."""
        for site in sites:
            self._until[site] = round_num + 2 ** self._faults.get(site, 0)
            self._faults[site] = self._faults.get(site, 0) + 1

    def resting(self, round_num: int) -> dict[int, str]:
        """Return who sits out a round, and why; one site at most."""
        due = [site for site, until in self._until.items() if round_num <= until]
        return {
            site: f"site {site} ended {self._faults[site]} rounds without a sum; it sits out until "
            f"round {self._until[site]}"
            for site in sorted(due, key=self._faults.__getitem__)[-1:]
        }
