import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data files, which are too large for the repository."""
    named = os.environ.get("FEDKET_DATA", "")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not (folder / "mnist.npz").is_file():
        pytest.skip(f"no real data files in {folder}; set FEDKET_DATA to a folder with mnist.npz")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for hypothesis tests, which may not use `tmp_path`."""
    return tmp_path_factory.mktemp("data")
