"""Flower's SecAgg+ with AES-256 in counter mode as its mask generator.

Flower expands a seed with numpy's Mersenne Twister, from 32 bits of the seed. Here the whole seed
is hashed to a key and the masks are the cipher's stream: what SecAgg+ (Bell et al. 2020) asks for.
All else is as in `flower_secaggplus`.
"""

import hashlib
from importlib import import_module

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from benchmarks.peers.flower_secaggplus import be_a_task, run
from benchmarks.peers.secure_common import main


def expand(seed: bytes, num_range: int, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Return uniform masks below `num_range`, a power of two up to 2^64, one per shape."""
    counter = Cipher(algorithms.AES256(hashlib.sha256(seed).digest()), modes.CTR(bytes(16)))
    cipher, dtype = counter.encryptor(), np.dtype("<u4" if num_range <= 2**32 else "<u8")
    masks = []
    for shape in shapes:
        zeros = bytes(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        words = np.frombuffer(cipher.update(zeros), dtype).astype(np.int64)
        masks.append((words & (num_range - 1)).reshape(shape))
    return masks


USERS = (
    "flwr.client.mod.secure_aggregation.secaggplus_mod",
    "flwr.server.workflow.secure_aggregation.secaggplus_workflow",
)
"""Modules that expand seeds; the packages above them hide them behind functions of their names."""


if __name__ == "__main__":
    be_a_task()
    for name in USERS:
        import_module(name).__dict__["pseudo_rand_gen"] = expand
    main(("flwr", "numpy", "pycryptodome", "cryptography"), run)
