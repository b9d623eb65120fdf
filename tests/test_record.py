"""What a run may leave on disk: every record that can be written can be read, and no other is."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import CheckpointError
from fedket.record import FORMAT, MAX_LINKS, RoundRecord, Summary, costs, summarise
from fedket.record_files import (
    ENVIRONMENT,
    ROUNDS,
    SUMMARY,
    append_round,
    check_format,
    read_json,
    read_rounds,
    rewrite_rounds,
    write_json,
)
from fedket.traffic import PhaseCost, Traffic
from fedket.types import SERVER

counts = st.integers(0, 2**60)  # sums of four must fit, too
anything = st.floats()
positive = st.floats(0, 1e9)
shares = st.none() | st.floats(0, 1) | st.just(math.nan)
clients = st.integers(0, 10**6)
parties = st.tuples(st.integers(SERVER, 9), st.integers(0, 9))
phases = st.builds(PhaseCost, st.text(), counts, counts, counts, counts, positive)
traffic = st.builds(
    Traffic,
    counts,
    counts,
    st.none() | st.integers(0, 99),
    st.lists(phases, max_size=3).map(tuple),
    st.just({}),
    st.text(),
    positive,
    st.dictionaries(parties, counts, max_size=5),
    st.none() | counts,
)


@st.composite
def records(draw, number=1):
    return RoundRecord(
        round=number,
        cohort=tuple(draw(st.lists(clients, max_size=4))),
        dropped=draw(st.dictionaries(clients, st.text(), max_size=3)),
        lost=draw(st.text()),
        train_loss=draw(st.none() | anything),
        test_loss=draw(st.none() | anything),
        test_accuracy=draw(shares),
        client_accuracy=draw(
            st.none() | st.lists(st.floats(0, 1) | st.just(math.nan), max_size=4).map(np.array)
        ),
        seconds=draw(positive),
        download_bytes=draw(counts),
        metrics=draw(st.dictionaries(st.text(), anything, max_size=3)),
        **costs(draw(traffic), draw(st.integers(99, 10**9))),
    )


@given(st.data(), st.integers(0, 4))
def test_every_record_that_can_be_written_can_be_read(tmp_path_factory, data, number):
    directory = tmp_path_factory.mktemp("run")
    written = [data.draw(records(n)) for n in range(1, number + 1)]
    rewrite_rounds(directory, written[:2])
    for record in written[2:]:
        append_round(directory, record)
    assert list(read_rounds(directory)) == written
    for line in (directory / ROUNDS).read_text(encoding="utf-8").split("\n")[:-1]:
        json.loads(line, parse_constant=pytest.fail)
    summary = summarise(written, "finished", parameters_sha256="5f")
    write_json(directory / SUMMARY, summary)
    assert read_json(directory / SUMMARY, Summary) == summary


@given(st.lists(records(), max_size=4))
def test_totals_are_those_of_the_rounds(rounds):
    summary = summarise(rounds, "unfinished")
    assert summary.rounds == len(rounds)
    assert summary.upload_bytes == sum(r.upload_bytes for r in rounds)
    assert summary.lost_rounds == sum(bool(r.lost) for r in rounds)
    assert summary.dropped_updates == sum(len(r.dropped) for r in rounds)
    known = [r.clipped for r in rounds if r.clipped is not None]
    assert summary.clipped == (sum(known) if known else None)
    accuracies = [r.test_accuracy for r in rounds if r.test_accuracy is not None]
    assert summary.test_accuracy == (accuracies[-1] if accuracies else None)
    assert summary.best_test_accuracy == max(accuracies, default=None)


def a_record(**changes):
    nothing = costs(Traffic(0, 0), 0)
    about = {"round": 1, "cohort": (0,), "train_loss": 1.0, "seconds": 0.0, "download_bytes": 0}
    return RoundRecord(**(about | nothing | changes))


def test_what_is_not_known_is_none_and_not_zero():
    assert costs(Traffic(0, 0, num_clipped=None), 10)["clipped_share"] is None
    assert costs(Traffic(0, 0, num_clipped=0), 10)["clipped_share"] == 0.0
    assert a_record(client_accuracy=np.zeros(0)).client_accuracy is None
    assert a_record(train_loss=math.nan).train_loss is None


@pytest.mark.parametrize(("clipped", "much"), [(None, False), (10, False), (11, True)])
def test_more_than_a_hundredth_is_much(clipped, much):
    assert a_record(**costs(Traffic(0, 0, num_clipped=clipped), 1000)).clips_much == much


def test_many_links_leave_the_emptiest():
    levels = {(i, i + 1): 1000 - i for i in range(MAX_LINKS + 5)}
    kept = costs(Traffic(0, 0, key_levels=levels), 0)["key_levels"]
    assert len(kept) == MAX_LINKS
    assert min(levels.values()) in kept.values()
    assert max(levels.values()) not in kept.values()


def test_a_field_of_a_newer_version_is_one_clear_error(tmp_path):
    rewrite_rounds(tmp_path, [a_record()])
    line = json.loads((tmp_path / ROUNDS).read_text())
    (tmp_path / ROUNDS).write_text(json.dumps(line | {"entropy": 1.0}) + "\n")
    with pytest.raises(CheckpointError) as caught:
        list(read_rounds(tmp_path))
    message = str(caught.value)
    assert "line 1: holds `entropy`" in message
    assert "a newer version wrote it" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("environment", "version"),
    [({"fedket": "0.1.0"}, "0.1.0"), ({"fedket": "9.0", "format": FORMAT + 1}, "9.0")],
)
def test_a_directory_of_another_format_names_the_version_that_wrote_it(
    environment, version, tmp_path
):
    (tmp_path / ENVIRONMENT).write_text(json.dumps(environment))
    with pytest.raises(CheckpointError, match=f"written by fedket {version}"):
        check_format(tmp_path)
