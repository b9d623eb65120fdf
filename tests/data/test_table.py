"""Tables: what becomes of their columns, and what is refused by name."""

import io
import json

import numpy as np
import pytest

from fedket.data.source_kinds import TableConfig
from fedket.data.sources import load_table
from fedket.data.transform import rescale, standardise
from fedket.errors import DataError

HEADER = "size,colour,age,species"
ROWS = [
    f"{i}.5,{'red' if i % 3 else 'blue'},{i % 7},{'cat' if i % 2 else 'ant'}" for i in range(20)
]


def write(path, rows=ROWS, header=HEADER, separator=","):
    path.write_text("\n".join([header, *rows]).replace(",", separator), encoding="utf-8-sig")
    return str(path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_words_of_the_target_are_classes_and_each_gives_a_share_for_testing(tmp_path, separator):
    path = write(tmp_path / "pets.csv", separator=separator)
    data = load_table(path, "species", features=("age", "size"))
    assert (data.name, data.class_names) == ("pets", ("ant", "cat"))
    assert np.bincount(data.y_train).tolist() == [8, 8]
    assert np.bincount(data.y_test).tolist() == [2, 2]
    rows = np.concatenate([data.x_train, data.x_test])
    labels = np.concatenate([data.y_train, data.y_test])
    order = np.argsort(rows[:, 1])
    np.testing.assert_array_equal(rows[order], [[i % 7, i + 0.5] for i in range(20)])
    np.testing.assert_array_equal(labels[order], np.arange(20) % 2)


def test_words_among_features_become_numbers_when_asked(tmp_path):
    path = write(tmp_path / "pets.csv")
    with pytest.raises(DataError, match=r"`colour` holds words, such as 'blue'.*data\.one_hot"):
        load_table(path, "species")
    data = load_table(path, "species", one_hot=True)
    i = data.x_train[:, 0] - 0.5
    np.testing.assert_array_equal(data.x_train[:, 1], i % 3 == 0)  # blue, then red
    np.testing.assert_array_equal(data.x_train[:, 2], i % 3 != 0)
    assert data.x_train.shape == (16, 4)


def test_numbers_of_the_target_are_classes_in_their_order_whatever_they_begin_with(tmp_path):
    rows = [f"{i},{(10, 2, 1)[i % 3]}" for i in range(12)]
    data = load_table(write(tmp_path / "n.csv", rows, "x,y"), "y")
    assert data.class_names == ("1", "2", "10")
    np.testing.assert_array_equal(data.y_train, 2 - data.x_train[:, 0] % 3)
    chosen = load_table(str(tmp_path / "n.csv"), "y", classes=(2, 0))
    assert (chosen.class_names, chosen.num_classes) == (("10", "1"), 2)


def test_owners_are_on_one_side(tmp_path):
    rows = [f"{i},{i % 2},{'abcde'[i // 4]}" for i in range(20)]
    data = load_table(write(tmp_path / "o.csv", rows, "x,y,who"), "y", group="who")
    assert sorted(set(data.groups.tolist())) == ["a", "b", "d", "e"]
    np.testing.assert_array_equal(data.x_test[:, 0], np.arange(8, 12))
    assert len(data.groups) == len(data.y_train) == 16


def test_missing_values_are_named_or_their_rows_dropped(tmp_path):
    rows = [*ROWS, ",red,3,cat", "7.5,red,NA,ant"]
    path = write(tmp_path / "gaps.csv", rows)
    with pytest.raises(
        DataError, match=r"2 columns miss values: `size` \(row 21\), `age` \(row 22\)"
    ):
        load_table(path, "species", features=("size", "age"))
    data = load_table(path, "species", features=("size", "age"), drop_missing=True)
    assert len(data.y_train) + len(data.y_test) == 20
    assert data.notes[0].endswith("2 of 22 rows miss a value and are left out")


def test_another_table_is_for_testing(tmp_path):
    write(tmp_path / "train.csv")
    write(tmp_path / "test.csv", ROWS[:3])
    asked = {"directory": str(tmp_path), "test_path": "test.csv", "features": ("age",)}
    data = load_table("train.csv", "species", **asked)
    assert (len(data.y_train), data.y_test.tolist()) == (20, [0, 1, 0])
    write(tmp_path / "test.csv", [*ROWS[:3], "1,red,1,dog"])
    with pytest.raises(DataError, match="no training sample is of class `dog`"):
        load_table("train.csv", "species", **asked)


@pytest.mark.parametrize(
    ("rows", "asked", "message"),
    [
        (ROWS, {"target": "speceis"}, "no column `speceis`; did you mean `species`"),
        (ROWS, {"target": "size"}, "target `size` has other values than classes"),
        (ROWS, {"target": "age", "features": ("age",)}, "`age` is the target; leave it out"),
        (["1,2"], {}, "row 2 has 2 cells, the names 4"),
        ([], {}, "no rows below a line of names"),
        (["1,red,inf,cat", *ROWS], {"features": ("age",)}, r"x_train\[0\] holds NaN, infinite"),
        (["1,red,1,dog", *ROWS], {"features": ("age",)}, "rows of class 2: 1 cannot be split"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, rows, asked, message):
    path = write(tmp_path / "t.csv", rows)
    with pytest.raises(DataError, match=message) as error:
        load_table(path, **{"target": "species", **asked})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00a,b", b'a,b\n"1,2'])
def test_files_that_are_no_table_are_refused(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    (tmp_path / "t.parquet").write_bytes(content)
    for name in ("t.csv", "t.parquet"):
        with pytest.raises(DataError, match=r"t\.(csv|parquet)"):
            load_table(str(tmp_path / name), "b")
    with pytest.raises(DataError, match="no table at"):
        load_table(str(tmp_path / "absent.csv"), "b")


def test_a_parquet_file_is_read_as_the_same_csv(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow reads Parquet")
    from pyarrow import csv

    write(tmp_path / "pets.csv")
    table = csv.read_csv(tmp_path / "pets.csv")
    table = table.set_column(1, "colour", table["colour"].dictionary_encode())
    parquet.write_table(table, tmp_path / "pets.parquet")
    one = load_table(str(tmp_path / "pets.csv"), "species", one_hot=True)
    two = load_table(str(tmp_path / "pets.parquet"), "species", one_hot=True)
    for name in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def png(level):
    image = pytest.importorskip("PIL.Image", reason="Pillow writes the images")
    file = io.BytesIO()
    image.fromarray(np.full((6, 5), level, np.uint8)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def test_a_folder_of_hugging_face_datasets_is_read_with_its_splits_and_names(tmp_path):
    """The layout that `DatasetDict.save_to_disk` of datasets 3 writes."""
    arrow = pytest.importorskip("pyarrow", reason="pyarrow reads the folders")
    folder = tmp_path / "saved"
    for split, levels in (("train", range(6)), ("validation", range(6, 8)), ("test", range(8, 12))):
        (folder / split).mkdir(parents=True)
        rows = {"image": [png(i) for i in levels], "label": [i % 2 for i in levels]}
        table, file = arrow.table(rows), "data-00000-of-00001.arrow"
        with arrow.ipc.new_stream(str(folder / split / file), table.schema) as writer:
            writer.write_table(table)
        names = {"names": ["even", "odd"], "_type": "ClassLabel"}
        features = {"image": {"_type": "Image"}, "label": names}
        (folder / split / "dataset_info.json").write_text(json.dumps({"features": features}))
        (folder / split / "state.json").write_text(
            json.dumps({"_data_files": [{"filename": file}]})
        )
    (folder / "dataset_dict.json").write_text(
        json.dumps({"splits": ["train", "validation", "test"]})
    )
    data = load_table(str(folder), "label")
    assert data.class_names == ("even", "odd")
    assert data.x_train.shape == (6, 6, 5)
    np.testing.assert_array_equal(np.rint(data.x_val[:, 0, 0] * 255), [6, 7])
    assert data.y_test.tolist() == [0, 1, 0, 1]
    (folder / "train" / "state.json").unlink()
    with pytest.raises(DataError, match=r"has no state\.json"):
        load_table(str(folder), "label")


def test_features_are_scaled_as_the_training_samples_say(tmp_path):
    data = load_table(write(tmp_path / "pets.csv"), "species", features=("age", "size"))
    even = standardise(data)
    np.testing.assert_allclose(even.x_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(even.x_train.std(axis=0), 1, atol=1e-6)
    between = rescale(data._replace(x_test=data.x_test * 100), -1.0, 3.0)
    np.testing.assert_allclose(between.x_train.min(axis=0), -1, atol=1e-6)
    np.testing.assert_allclose(between.x_train.max(axis=0), 3, atol=1e-6)
    assert between.x_test.max() == 3
    flat = data._replace(x_train=np.ones_like(data.x_train), x_test=np.ones_like(data.x_test))
    assert (standardise(flat).x_train == 0).all()
    assert (rescale(flat, 0.0, 1.0).x_train == 0).all()


def test_new_rows_are_read_by_the_names_of_columns(tmp_path):
    """With other columns, in another order, and a word that training does not have."""
    path, new = write(tmp_path / "pets.csv"), tmp_path / "new.csv"
    new.write_text("colour,more,size,age\nred,9,0.5,3\ngreen,9,1.5,4\n")
    config = TableConfig(path=path, target="species", one_hot=True)
    np.testing.assert_array_equal(config.read_rows(new), [[0.5, 0, 1, 3], [1.5, 0, 0, 4]])
    new.write_text("colour,size\nred,1\n")
    with pytest.raises(DataError, match=r"new\.csv: no column `age`"):
        config.read_rows(new)


def test_numbers_to_predict_stay_numbers_when_asked(tmp_path):
    rows = [f"{i},{i / 4}" for i in range(20)]
    data = load_table(write(tmp_path / "r.csv", rows, "x,y"), "y", regression=True)
    np.testing.assert_array_equal(data.y_train, data.x_train[:, 0] / 4)
    assert (data.regression, len(data.y_test)) == (True, 4)
    with pytest.raises(DataError, match="a regression has no classes"):
        load_table(str(tmp_path / "r.csv"), "y", regression=True, classes=(0,))
