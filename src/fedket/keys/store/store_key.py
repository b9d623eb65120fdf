"""The store key: 32 bytes that wrap all segment keys and seal the ledger.

By default it lies in the store's directory as `store.key`, readable by its owner only. Then it
protects the pads only where the file is kept out (backups, a stolen copy of the other files). Give
the key from elsewhere (a TPM, a hardware module, a mounted secret) to protect a stolen disk.
"""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedket.errors import KeyMaterialError
from fedket.keys.material import KeyMaterial
from fedket.keys.store.disk import Disk
from fedket.types import Secret

KEY_NAME = "store.key"
KEY_BYTES = 32


class StoreKeys(NamedTuple):
    """What the store key is used for, one derived key each (HKDF-SHA-256, RFC 5869).

    Attributes:
        wrap: Wraps segment keys, AES-256-GCM.
        seal: Seals the ledger and the marks, HMAC-SHA-256.
    """

    wrap: KeyMaterial
    seal: KeyMaterial


def derive_keys(store_key: Secret, store_id: str) -> StoreKeys:
    """Derive the keys of one store.

    Raises:
        KeyMaterialError: The store key has not 32 bytes.
    """
    secret = store_key.reveal()
    if len(secret) != KEY_BYTES:
        raise KeyMaterialError(f"a store key has {KEY_BYTES} bytes, got {len(secret)}")

    def derive(what: str) -> KeyMaterial:
        info = f"fedket pad store: {what}".encode()
        return KeyMaterial(HKDF(SHA256(), KEY_BYTES, store_id.encode(), info).derive(secret))

    return StoreKeys(derive("wrap segment keys"), derive("seal ledger"))


def read_store_key(path: Path) -> KeyMaterial:
    """Read a store key from its file.

    Raises:
        KeyMaterialError: It is missing, of a wrong size, or others may read it.
        OSError: It cannot be read.
    """
    if not path.is_file():
        raise KeyMaterialError(
            f"the store key {path} is missing; put it back, or give the store key when opening"
        )
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KeyMaterialError(
            f"others can read the store key {path} (mode {mode:04o}); run: chmod 600 {path}"
        )
    secret = path.read_bytes()
    if len(secret) != KEY_BYTES:
        raise KeyMaterialError(
            f"the store key {path} has {len(secret)} bytes instead of {KEY_BYTES}; put back a copy"
        )
    return KeyMaterial(secret)


def make_store_key(directory: Path, disk: Disk) -> KeyMaterial:
    """Draw a store key and write it durably; a crash leaves the whole file or none.

    Raises:
        OSError: It cannot be written.
    """
    path = directory / KEY_NAME
    temporary = directory / f".{KEY_NAME}.tmp"
    secret = os.urandom(KEY_BYTES)
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        disk.write(handle, secret, 0, "store key")
        disk.sync(handle, "store key")
    finally:
        os.close(handle)
    temporary.replace(path)
    disk.sync_directory(directory)
    return KeyMaterial(secret)
