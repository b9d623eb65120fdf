"""Attack 7: inputs read out of the update of a small quantum network.

It works on an update that the server sees, fails on a masked one, and gets weaker with the number
of clients in a sum: masks hide what is not in the sum, and the sum itself they do not hide.
"""

import numpy as np
import pytest
from inversion_parts import correlation, invert, updates, victims
from pairwise_parts import asked_up_to_upload, upload
from shared_parts import Session, a_plan

from fedket.keys.os_random import OsRandomSource
from fedket.leakage import match_guesses
from fedket.secure.quantise import dequantise, headroom, quantise, rounding_noise
from fedket.secure.shared_masks.field import centre_lift, unpack_residues
from fedket.secure.shared_masks.plan import terms_of
from fedket.secure.words import nearest_integers, to_words, unpack_words

NUM_CLIENTS = 32
IDS = tuple(range(NUM_CLIENTS))
SHARES = [1 / NUM_CLIENTS] * NUM_CLIENTS
QUANTISER = headroom(16, 0.2, SHARES)

CHANCE = 0.45
"""Five standard deviations of the correlation of 128 features with unrelated guesses."""

IN_GROUPS = {2: 0.90, 4: 0.41, 8: 0.51}
"""Clients per sum -> correlation of their samples with the best guesses, as measured with these
seeds. Random guesses, matched as well as these, get -0.04, 0.15 and 0.36."""


@pytest.fixture(scope="module")
def trained():
    """Global parameters, everybody's sample, and everybody's update as 16-bit words."""
    params, x, y = victims(NUM_CLIENTS)
    weighted = np.asarray(updates(params, x, y)) / NUM_CLIENTS
    noise = rounding_noise(0, 1, IDS, weighted.shape[1])
    quantised = [quantise(QUANTISER, *row) for row in zip(weighted, SHARES, noise, strict=True)]
    assert not any(update.num_clipped for update in quantised)
    words = np.stack([to_words(update.integers, 16) for update in quantised])
    return params, x, y[:, None], words


def read(words):
    """What the server makes of a client's words, or of a sum of some."""
    return dequantise(QUANTISER, nearest_integers(np.asarray(words), 16))


def test_7_inputs_are_read_out_of_updates_that_the_server_sees(trained):
    params, x, y, words = trained
    guesses = invert(params, np.stack([read(row) for row in words]), y)[:, 0]
    assert correlation(guesses, x) > 0.8
    errors = np.abs(guesses - x).max(axis=1)
    assert np.median(errors) < 0.2  # of angles between 0.2 and 2.9


def test_7_out_of_masked_updates_nothing_better_than_chance_is_read(trained):
    params, x, y, words = trained
    rows = dict(zip(IDS, words, strict=True))
    handlers, states = asked_up_to_upload(IDS, OsRandomSource(), rows)
    seen = []
    for i in IDS:
        outcome, _ = handlers[i]("upload", upload(IDS, words.shape[1]), states[i])
        seen.append(read(unpack_words(outcome.payload["words"], words.shape[1], 16)))
    assert abs(correlation(invert(params, np.stack(seen), y)[:, 0], x)) < CHANCE


def test_7_nor_out_of_updates_under_shared_self_masks(trained):
    params, x, y, words = trained
    plan = a_plan(colluders=5, threshold=16, num_values=words.shape[1])
    rows = {i: nearest_integers(row, 16) for i, row in zip(IDS, words, strict=True)}
    session = Session(plan, rows)
    phase, field = session.up_to("upload"), terms_of(plan, 1, IDS).sharing.field
    seen = []
    for i in IDS:
        sent = session.ask(i, "upload", **phase.payload_for(i)).payload["residues"]
        residues = unpack_residues(field, sent, words.shape[1])
        seen.append(centre_lift(field, residues).astype(np.float32))
    assert abs(correlation(invert(params, np.stack(seen), y)[:, 0], x)) < CHANCE


@pytest.mark.parametrize(
    "group", [pytest.param(g, marks=[pytest.mark.long] * (g != 4)) for g in IN_GROUPS]
)
def test_7_a_sum_of_few_still_tells_something_about_each(trained, group):
    """Which is why groups must not be small, and why only noise bounds what a sum tells."""
    params, x, y, words = trained
    sums = words.reshape(-1, group, words.shape[1]).sum(axis=1, dtype=words.dtype)
    labels, truth = y.reshape(-1, group), x.reshape(-1, group, x.shape[1])
    guesses = invert(params, np.stack([read(row) for row in sums]), labels)
    matched = [match_guesses(*one) for one in zip(guesses, truth, labels, strict=True)]
    assert correlation(np.stack(matched), truth) == pytest.approx(IN_GROUPS[group], abs=0.15)
