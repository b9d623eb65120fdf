"""Arrays of a weights file -> the weights of a backbone, or one line that says what is wrong."""

from collections.abc import Mapping

import numpy as np

from fedket.errors import DataError
from fedket.models.backbones.backbone import Backbone

Arrays = Mapping[str, np.ndarray]


def fit_weights(backbone: Backbone, arrays: Arrays, source: str) -> dict[str, np.ndarray]:
    """Pick, rename and check the arrays a backbone needs; others (a classifier's) are left.

    Args:
        backbone: The network.
        arrays: By name: either its own, kernels HWIO, or PyTorch's, kernels OIHW.
        source: The file, for messages.

    Returns:
        Every array of `backbone.shapes`, float32.

    Raises:
        DataError: An array is missing, has another shape, is no float array, or is not finite.
    """
    own = {**_from_torch(backbone, arrays, source), **arrays}
    weights = {}
    for name, shape in backbone.shapes.items():
        if name not in own:
            raise DataError(_missing(backbone, name, arrays, source))
        array = own[name]
        if array.shape != shape or array.dtype.kind != "f":
            raise DataError(
                f"{source}: `{name}` should be floats of shape {shape} for {backbone.name}, got "
                f"{array.dtype} of shape {array.shape}; is it another network's file?"
            )
        weights[name] = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(weights[name]).all():
            raise DataError(f"{source}: `{name}` holds NaN or infinity; get the file again")
    return weights


def _from_torch(backbone: Backbone, arrays: Arrays, source: str) -> dict[str, np.ndarray]:
    """Arrays under PyTorch's names, kernels turned from OIHW to HWIO."""
    found = {}
    for torch_name, name in backbone.torch_names.items():
        if torch_name not in arrays:
            continue
        array = arrays[torch_name]
        if name.endswith("/kernel"):
            if array.ndim != 4:
                raise DataError(
                    f"{source}: `{torch_name}` has shape {array.shape}; a kernel has four axes"
                )
            array = array.transpose(2, 3, 1, 0)
        found[name] = array
    return found


def _missing(backbone: Backbone, name: str, arrays: Arrays, source: str) -> str:
    """Name what is missing as the file would call it."""
    torch_name = {own: torch for torch, own in backbone.torch_names.items()}.get(name)
    either = f"`{name}`" + (f" (or `{torch_name}`)" if torch_name else "")
    shown = ", ".join(sorted(arrays)[:4]) + (", ..." if len(arrays) > 4 else "")
    return (
        f"{source} lacks {either} of {backbone.name}; it holds {len(arrays)} arrays"
        f"{f' ({shown})' if shown else ''}: give the file of the whole network"
    )
