"""Attack 9: a key manager that fails, or is somebody else, in the middle of a masked run.

Every fault ends the round with one clear line; nothing is reserved for it; the rounds before and
after it are exact, and no pad byte is ever used in two of them.
"""

import base64
from contextlib import contextmanager

import jax.numpy as jnp
import numpy as np
import pytest
from kme_network import QUICK_S, STRANGER

from fedket.errors import FedketError, KeyExhaustedError, KeyMaterialError
from fedket.keys.etsi014.errors import KmeError
from fedket.keys.filled_stores import FilledStores, kme_links
from fedket.keys.kme.certificates import write_certificates
from fedket.keys.store import PadStore, verify
from fedket.secure import masked_sum, quantised_sum
from fedket.types import RoundContext

STREAM, NUM_VALUES, PAD_BYTES = (0, 1), 128, 256
"""A pad takes two of the longest keys, so one can repeat the other, and leaves nothing over."""
NAMES = {0: "alice", 1: "bob"}
BLOCK = 8
"""Bytes of pad that are as good as unique: two equal ones by chance once in 2^64 pairs."""


class Watched:
    """A key source that remembers every pad that its lower end was given."""

    def __init__(self, source):
        self.source, self.pads = source, []
        self.reserve, self.accept, self.burn = source.reserve, source.accept, source.burn

    def spend(self, round_num, client_id, stream, start, num_bytes):
        secret = self.source.spend(round_num, client_id, stream, start, num_bytes)
        if client_id == stream[0]:
            self.pads.append(secret.reveal())
        return secret


class Run:
    """Rounds of two clients whose pads come through their key managers."""

    def __init__(self, stores, fill):
        self.stores = stores
        self.source = FilledStores(stores, "r", fill)
        self.watched = Watched(self.source)
        self.reduce = masked_sum(16, "headroom", 1.0, self.watched, authenticate=False)

    def round(self, round_num):
        """Hold a round, exact or an error."""
        wait = self.source.waiting_time({STREAM: PAD_BYTES})
        if wait.seconds:
            raise KeyExhaustedError(self.source.problem())
        values = jnp.asarray(np.random.default_rng(round_num).uniform(-0.5, 0.5, (2, NUM_VALUES)))
        context = RoundContext(0, round_num, (0, 1), (0.5, 0.5))
        total, _ = self.reduce(values, context)
        expected, _ = quantised_sum(16, "headroom", 1.0)(values, context)
        np.testing.assert_array_equal(total, expected)

    def ends_a_round(self, round_num):
        """Hold a round that must fail, and leave everything as it was; returns the message."""
        before = {i: store.available(STREAM) for i, store in self.stores.items()}
        pads = len(self.watched.pads)
        with pytest.raises((KmeError, KeyExhaustedError)) as error:
            self.round(round_num)
        assert "\n" not in str(error.value)
        assert {i: store.available(STREAM) for i, store in self.stores.items()} == before
        assert len(self.watched.pads) == pads
        return str(error.value)

    def check_pads(self):
        whole = b"".join(self.watched.pads)
        blocks = [
            whole[at + k : at + k + BLOCK]
            for at in range(0, len(whole), PAD_BYTES)
            for k in range(0, PAD_BYTES - BLOCK + 1)
        ]
        assert len(set(blocks)) == len(blocks) > 0
        for store in self.stores.values():
            assert not verify(store.directory).findings


@contextmanager
def a_run(world, tmp_path, **changed):
    """`changed` are fields of the first client's connection to its KME."""
    stores = {i: PadStore.open(tmp_path / str(i), i) for i in NAMES}
    saes = {i: world.sae(name, **(changed if i == 0 else {})) for i, name in NAMES.items()}
    try:
        with kme_links(saes, stores) as fill:
            yield Run(stores, fill)
    finally:
        for store in stores.values():
            store.close()


FAULTS = {
    ("html_401", "enc_keys"): "401 unauthorized",
    ("html_401", "dec_keys"): "401 unauthorized",
    ("unavailable", "enc_keys"): "503",
    ("unavailable", "dec_keys"): "503",
    ("short_keys", "enc_keys"): "bits",
    ("short_keys", "dec_keys"): "bits",
    ("duplicate_keys", "enc_keys"): "a key_ID came twice",
    ("repeated_keys", "enc_keys"): "an earlier answer had",
    ("fewer_keys", "dec_keys"): "got",
    ("wrong_kme_id", "status"): "`not-kme-a`, expected",
    ("hang", "enc_keys"): f"within {QUICK_S:g} s",
}


@pytest.mark.parametrize(("fault", "call"), FAULTS)
def test_9_a_fault_ends_the_round_and_the_next_one_has_pads_of_its_own(
    world, tmp_path, fault, call
):
    patience = {"timeout_s": QUICK_S} if fault == "hang" else {}
    with a_run(world, tmp_path, **patience) as run:
        if call != "status":  # which is asked for once
            run.round(1)
        world.inject(fault, calls=(call,))
        if fault == "repeated_keys":
            run.round(2)  # there is nothing to repeat before
        assert FAULTS[fault, call] in run.ends_a_round(3)
        world.inject()
        run.round(4)
        run.check_pads()


def test_9_a_kme_with_the_certificate_of_another_ca_is_asked_for_nothing(world, tmp_path):
    other = write_certificates(tmp_path / "pki", ["kme-a"], ["alice"])
    with a_run(world, tmp_path, ca=other.ca) as run:
        assert "ask the KME's operator for its CA" in run.ends_a_round(1)


def test_9_an_application_with_somebody_elses_certificate_gets_no_key(world, tmp_path):
    certificate, key = world.pki.certificates[STRANGER]
    with a_run(world, tmp_path, certificate=certificate, key=key) as run:
        assert "KME" in run.ends_a_round(1)


def test_9_naive_keys_taken_as_they_come_mask_two_rounds_with_one_pad(world):
    """A client that does not look at key IDs lets a KME that repeats itself undo its masks."""
    seen, updates = [], np.random.default_rng(1).integers(0, 2**16, (2, 16), np.uint16)
    world.inject("repeated_keys", calls=("enc_keys",))
    with world.http("alice") as http:
        for update in updates:
            body = {"number": 1, "size": 8 * 32}
            container = http.post("/api/v1/keys/bob/enc_keys", json=body).json()
            pad = base64.b64decode(container["keys"][0]["key"])
            seen.append(update + np.frombuffer(pad, np.uint16))
    np.testing.assert_array_equal(seen[0] - seen[1], updates[0] - updates[1])


def test_9_the_pads_of_a_failed_round_are_not_asked_for_again(world, tmp_path):
    with a_run(world, tmp_path) as run:
        run.round(5)
        for round_num in (5, 4):
            with pytest.raises(FedketError) as error:
                run.round(round_num)
            assert not isinstance(error.value, KmeError)
        run.round(6)
        run.check_pads()
        with pytest.raises(KeyMaterialError):
            run.source.spend(5, 0, STREAM, 0, PAD_BYTES)
