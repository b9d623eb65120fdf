"""Where a party's own files lie: beside its FLARE startup kit's, never in a job."""

from pathlib import Path
from typing import Any

FOLDER = "fedket"


def kit_folder(workspace: Any) -> Path:
    """Return `<kit>/local/fedket` of the party whose FLARE workspace this is."""
    return Path(workspace.get_root_dir()) / "local" / FOLDER
