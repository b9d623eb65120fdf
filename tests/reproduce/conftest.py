import pytest

from fedket.reproduce.page import write_reproduction
from fedket.reproduce.rows import Profile, find_rows
from fedket.reproduce.runs import plan_rows, run_rows
from tests.reproduce.papers import write_row


@pytest.fixture(scope="session")
def paper(blobs, tmp_path_factory):
    """Two rows that run and one whose data are missing; the masked one spends key."""
    folder = tmp_path_factory.mktemp("papers") / "made_up"
    write_row(
        folder, "mnist-masked", blobs, "aggregation.kind=pairwise_masks", "federation.rounds=2"
    )
    write_row(folder, "mnist-plain", blobs, "federation.rounds=2", reported=None, seeds=(0, 1, 2))
    write_row(folder, "adni-lost", "nowhere.npz")
    return folder


@pytest.fixture(scope="session")
def rows(paper):
    return find_rows(str(paper))


@pytest.fixture(scope="session")
def reproduced(rows, tmp_path_factory):
    """All of the paper run once: the runs, where they are, and the tables."""
    parent = tmp_path_factory.mktemp("reproduced")
    planned = plan_rows(rows, Profile(), [], parent)
    places = [run.label for run in planned]
    runs = sorted(run_rows(planned, 2), key=lambda run: places.index(run.label))
    return runs, parent, write_reproduction(rows, Profile(), runs, parent)
