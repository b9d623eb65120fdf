"""Where a job finds its party's own files: in the startup kit, never in the job."""

from pathlib import Path
from typing import Any

from fedket.deploy.files import own_files


def kit_folder(workspace: Any) -> Path:
    """Return `<kit>/local/fedket` of the party whose FLARE workspace this is."""
    return own_files(Path(workspace.get_root_dir()))
