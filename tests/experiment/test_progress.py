"""What a person sees of rounds that went wrong."""

from fedket.cli.progress import watch
from fedket.record import RoundRecord, costs
from fedket.traffic import Traffic


def a_round(number, **changes):
    about = {"cohort": (0, 1), "train_loss": 1.0, "seconds": 0.1, "download_bytes": 0}
    return RoundRecord(round=number, **(about | costs(Traffic(0, 0), 100) | changes))


def lines_of(config, capsys, *rounds):
    with watch(config) as (_, on_round):
        for record in rounds:
            on_round(record)
    return capsys.readouterr().out.splitlines()


def test_clipping_is_in_every_line_and_warned_of_once(tiny, capsys):
    much = costs(Traffic(0, 0, num_clipped=2), 100)
    rounds = [a_round(1), a_round(2, **much), a_round(3, **much)]
    lines = lines_of(tiny("federation.rounds=3"), capsys, *rounds)
    assert ["clipped 2.0 %" in line for line in lines if "loss" in line] == [False, True, True]
    assert [line.split(":")[0] for line in lines if "aggregation.clip" in line] == ["  round 2"]


def test_lost_rounds_and_left_out_updates_are_told_with_their_reasons(tiny, capsys):
    rounds = [a_round(1, dropped={1: "late"}), a_round(2, lost="nobody came", train_loss=None)]
    lines = lines_of(tiny("federation.rounds=2"), capsys, *rounds)
    assert "  round 1: left out client 1: late" in lines
    assert "  round 2 is lost: nobody came" in lines
    assert "round 2/2  loss –" in lines[-1]
