"""Folders of images: what is read, in which order, and what is refused by name."""

import numpy as np
import pytest

from fedket.data.image_folder import read_image_folder
from fedket.data.sources import load_dataset
from fedket.errors import DataError

Image = pytest.importorskip("PIL.Image", reason="Pillow reads the images")

COLOURS = {"cat": (200, 10, 10), "dog": (10, 200, 10), "eel": (10, 10, 200)}


def write_images(folder, counts, side=8, suffix=".png"):
    """Plain images whose colour tells the class and whose corner tells the number."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((side, side, 3), COLOURS[name], np.uint8)
            pixels[0, 0] = number
            Image.fromarray(pixels).save(folder / name / f"{number:03}{suffix}")
    return folder


def test_the_split_is_even_and_loses_no_image(tmp_path):
    folder = write_images(tmp_path / "pets", {"dog": 10, "cat": 5})
    raw = read_image_folder(folder, test_fraction=0.2)
    assert raw.x_train.shape == (12, 8, 8, 3)
    assert np.bincount(raw.y_train).tolist() == [4, 8]  # cats are 0: alphabetical
    assert np.bincount(raw.y_test).tolist() == [1, 2]
    for x, y in ((raw.x_train, raw.y_train), (raw.x_test, raw.y_test)):
        np.testing.assert_array_equal(x[:, 4, 4], np.array(list(COLOURS.values()))[y])
    dogs = np.concatenate([raw.x_train[raw.y_train == 1], raw.x_test[raw.y_test == 1]])
    assert sorted(dogs[:, 0, 0, 0].tolist()) == list(range(10))
    half = raw.y_train[:6]
    assert np.bincount(half).tolist() == [2, 4]  # any first part keeps the classes' shares


def test_folders_named_train_and_test_are_the_split(tmp_path):
    write_images(tmp_path / "train", {"cat": 2, "dog": 3})
    write_images(tmp_path / "test", {"cat": 1, "dog": 1, "eel": 1})
    raw = read_image_folder(tmp_path, class_names=("dog", "cat"))
    assert np.bincount(raw.y_train).tolist() == [3, 2]
    assert np.bincount(raw.y_test).tolist() == [1, 1]


def test_images_are_resized_upright_and_by_name(tmp_path):
    folder = write_images(tmp_path / "pets", {"cat": 2, "dog": 2}, side=16, suffix=".jpg")
    write_images(tmp_path / "more", {"eel": 2}, side=5)
    (tmp_path / "more" / "eel").rename(folder / "eel")
    (folder / "cat" / "notes.txt").write_text("not an image")
    data = load_dataset("image_folder", path="pets", directory=str(tmp_path), image_side=8)
    assert (data.name, data.num_classes) == ("pets", 3)
    assert data.x_train.shape == (3, 8, 8, 3)
    assert data.x_train.dtype == np.float32
    middle = data.x_train[:, 4, 4] * 255
    np.testing.assert_allclose(middle, np.array(list(COLOURS.values()))[data.y_train], atol=6)
    turned = Image.fromarray(np.zeros((4, 8, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: a quarter turn
    turned.save(tmp_path / "turned.jpg", exif=exif)
    for name in ("cat", "dog"):
        (tmp_path / "two" / name).mkdir(parents=True)
        for number in range(2):
            path = tmp_path / "two" / name / f"{number}.jpg"
            path.write_bytes((tmp_path / "turned.jpg").read_bytes())
    assert read_image_folder(tmp_path / "two").x_train.shape[1:] == (8, 4, 3)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n"


@pytest.mark.parametrize("name", ["001.png", "001.jpg", "001.webp", "001.bmp"])
def test_a_program_with_the_name_of_an_image_is_not_run(monkeypatch, tmp_path, name):
    from PIL import EpsImagePlugin

    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **_: started.append(args))
    folder = write_images(tmp_path / "pets", {"cat": 4, "dog": 4})
    (folder / "dog" / name).write_bytes(EPS)
    with pytest.raises(DataError, match=f"{name} is no readable image"):
        read_image_folder(folder)
    assert not started


@pytest.mark.parametrize("format", ["GIF", "PPM"])
def test_only_the_formats_that_are_named_are_read(tmp_path, format):
    folder = write_images(tmp_path / "pets", {"cat": 4, "dog": 4})
    Image.new("RGB", (8, 8)).save(folder / "dog" / "001.png", format)
    with pytest.raises(DataError, match="no readable image"):
        read_image_folder(folder)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"])
def test_every_suffix_that_is_looked_for_is_read(tmp_path, suffix):
    folder = write_images(tmp_path / "pets", {"cat": 2, "dog": 2}, suffix=suffix)
    assert read_image_folder(folder).x_train.shape == (2, 8, 8, 3)


def damage(folder):
    (folder / "dog" / "001.png").write_bytes(b"no image")


def truncate(folder):
    path = folder / "dog" / "001.png"
    path.write_bytes(path.read_bytes()[:40])


def resize_one(folder):
    Image.new("RGB", (3, 8)).save(folder / "dog" / "001.png")


def empty_one(folder):
    for path in (folder / "dog").iterdir():
        path.unlink()


def leave_one(folder):
    for path in sorted((folder / "dog").iterdir())[1:]:
        path.unlink()


def remove_one(folder):
    empty_one(folder)
    (folder / "dog").rmdir()


@pytest.mark.parametrize(
    ("change", "asked", "message"),
    [
        (damage, {}, r"dog.001\.png is no readable image"),
        (truncate, {}, r"dog.001\.png is no readable image"),
        (resize_one, {}, r"001\.png has shape \(8, 3, 3\).*set `data\.image_side`"),
        (empty_one, {}, "dog has no image"),
        (leave_one, {}, "dog has a single image"),
        (remove_one, {}, "has 1 class folders"),
        (remove_one, {"class_names": ("cat", "dog")}, "has no class `dog`; it has cat"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(change, asked, message, tmp_path):
    folder = write_images(tmp_path / "pets", {"cat": 4, "dog": 4})
    change(folder)
    with pytest.raises(DataError, match=message) as error:
        read_image_folder(folder, **asked)
    assert "\n" not in str(error.value)


def test_a_class_missing_in_the_test_part_and_a_missing_folder_are_named(tmp_path):
    write_images(tmp_path / "train", {"cat": 2, "dog": 2})
    write_images(tmp_path / "test", {"cat": 1})
    with pytest.raises(DataError, match="test has no class `dog`"):
        read_image_folder(tmp_path)
    with pytest.raises(DataError, match=r"no folder .*absent"):
        load_dataset("image_folder", path=str(tmp_path / "absent"))
    with pytest.raises(DataError, match="needs `path`"):
        load_dataset("image_folder")
    with pytest.raises(
        DataError, match="`class_names` and `skip_corrupt` belong to data set `image_folder`"
    ):
        load_dataset("digits", class_names=("cat",))


def test_a_packed_data_set_that_is_not_there_is_named(tmp_path):
    for name, file in (("cats_vs_dogs", "96_jpeg.npz"), ("planes_cars", "planes_cars.npz")):
        with pytest.raises(DataError, match=rf"{file}; set FEDKET_DATA"):
            load_dataset(name, directory=str(tmp_path))


def write_arrays(folder, images):
    """Images of any mode: name below the folder -> Pillow image or array."""
    for name, image in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (image if hasattr(image, "save") else Image.fromarray(image)).save(folder / name)
    return folder


def test_grey_images_stay_one_channel_and_16_bits_keep_every_level(tmp_path):
    levels = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    folder = write_arrays(tmp_path / "deep", {f"{c}/{i}.png": levels for c in "ab" for i in "01"})
    raw = read_image_folder(folder)
    np.testing.assert_array_equal(raw.x_train[0], levels)
    data = load_dataset("image_folder", path=str(folder))
    assert len(np.unique(data.x_train[0])) == 65_536
    assert data.x_train.max() == 1
    halved = read_image_folder(folder, side=128).x_train[0]
    assert halved.dtype == np.uint16
    assert len(np.unique(halved)) > 16_000


def test_one_image_in_colour_or_of_16_bits_decides_for_all(tmp_path):
    grey, deep = np.full((6, 6), 51, np.uint8), np.full((6, 6), 13_107, np.uint16)
    colour = np.full((6, 6, 3), (255, 0, 51), np.uint8)
    both = {f"{c}/{i}.png": grey for c in "ab" for i in "01"}
    folder = write_arrays(tmp_path / "both", both | {"a/1.png": deep, "b/1.png": colour})
    raw = read_image_folder(folder)
    x = np.concatenate([raw.x_train, raw.x_test])
    assert (x.dtype, x.shape) == (np.uint16, (4, 6, 6, 3))
    found = {tuple(image[0, 0]) for image in x.tolist() for image in [np.array(image)]}
    assert found == {(13_107, 13_107, 13_107), (65_535, 0, 13_107)}


def test_colour_that_nobody_sees_is_not_read(tmp_path):
    """The hidden colour is the class; what is seen is the same, and half of it shines through."""
    images = {}
    for name, hidden in (("a", (255, 0, 0)), ("b", (0, 0, 255))):
        pixels = np.zeros((6, 6, 4), np.uint8)
        pixels[..., :3] = hidden
        pixels[0, 0] = (0, 0, 0, 128)
        images |= {f"{name}/{i}.png": pixels for i in "01"}
    raw = read_image_folder(write_arrays(tmp_path / "clear", images))
    assert (raw.x_train[0] == raw.x_train[1]).all()
    assert raw.x_train[0, 1, 1].tolist() == [255, 255, 255]
    assert raw.x_train[0, 0, 0].tolist() == [127, 127, 127]  # 255 * (1 - 128 / 255)
    assert raw.notes == ("transparent pixels of images were laid on white",)
    grey = Image.fromarray(np.full((6, 6, 2), (9, 255), np.uint8), "LA")
    folder = write_arrays(tmp_path / "whole", {f"{c}/{i}.png": grey for c in "ab" for i in "01"})
    raw = read_image_folder(folder)
    assert (raw.x_train.shape, raw.x_train.max(), raw.notes) == ((2, 6, 6), 9, ())


def test_classes_that_are_numbers_sort_as_numbers_and_are_named(tmp_path):
    grey = np.zeros((6, 6), np.uint8)
    images = {f"{name}/{i}.png": grey + int(name) for name in ("1", "2", "10") for i in range(3)}
    data = load_dataset("image_folder", path=str(write_arrays(tmp_path / "n", images)))
    assert data.class_names == ("1", "2", "10")
    for label, name in enumerate(data.class_names):
        assert (data.x_train[data.y_train == label] * 255 == int(name)).all()
    chosen = load_dataset("image_folder", path=str(tmp_path / "n"), classes=(2, 0))
    assert chosen.class_names == ("10", "1")


def test_what_is_left_out_is_said(tmp_path):
    folder = write_images(tmp_path / "Training", {"cat": 3, "dog": 3}).parent
    write_images(folder / "Testing", {"cat": 1, "dog": 1, "eel": 1})
    write_images(folder / "holdout", {"cat": 1})
    (folder / "Training/cat/notes.txt").write_text("not an image")
    (folder / "Training/dog/small").mkdir()
    (folder / "Training/loose.png").write_bytes(b"")
    notes = read_image_folder(folder).notes
    assert len(notes) == 3
    assert "Testing: classes that training lacks are left out: eel" in notes[0]
    assert notes[1].endswith("folders that are no part are left out: holdout")
    assert notes[2].endswith("below their class: loose.png, cat/notes.txt, dog/small/")


def test_a_validation_folder_is_a_part_of_its_own(tmp_path):
    write_images(tmp_path / "train", {"cat": 5, "dog": 5})
    write_images(tmp_path / "val", {"cat": 1, "dog": 2})
    data = load_dataset("image_folder", path=str(tmp_path))
    assert data.x_train.shape == (8, 8, 8, 3)
    assert data.x_val.shape == (3, 8, 8, 3)
    np.testing.assert_array_equal(
        data.x_val[:, 4, 4] * 255, np.array([*COLOURS.values()])[data.y_val]
    )
    (tmp_path / "train").rename(tmp_path / "test")
    with pytest.raises(DataError, match="has test, val and no `train`; add one"):
        read_image_folder(tmp_path)


def test_all_corrupt_images_are_named_or_skipped_when_asked(tmp_path):
    folder = write_images(tmp_path / "pets", {"cat": 9, "dog": 9})
    for number in (1, 4):
        (folder / "cat" / f"00{number}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"001\.png .*004\.png .*`data\.skip_corrupt = true`"):
        read_image_folder(folder)
    raw = read_image_folder(folder, skip_corrupt=True)
    assert len(raw.y_train) + len(raw.y_test) == 16
    np.testing.assert_array_equal(raw.x_test[:, 4, 4], np.array([*COLOURS.values()])[raw.y_test])
    assert "left out by `data.skip_corrupt`" in raw.notes[0]
    for path in (folder / "cat").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="no image of `cat` is readable"):
        read_image_folder(folder, skip_corrupt=True)
