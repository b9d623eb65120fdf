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


@pytest.mark.parametrize("format", ["GIF", "TIFF", "PPM"])
def test_only_the_formats_that_are_named_are_read(tmp_path, format):
    folder = write_images(tmp_path / "pets", {"cat": 4, "dog": 4})
    Image.new("RGB", (8, 8)).save(folder / "dog" / "001.png", format)
    with pytest.raises(DataError, match="no readable image"):
        read_image_folder(folder)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".webp", ".bmp"])
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
    with pytest.raises(DataError, match="`class_names` belong to data set `image_folder`"):
        load_dataset("digits", class_names=("cat",))


def test_a_packed_data_set_that_is_not_there_is_named(tmp_path):
    for name, file in (("cats_vs_dogs", "96_jpeg.npz"), ("planes_cars", "planes_cars.npz")):
        with pytest.raises(DataError, match=rf"{file}; set FEDKET_DATA"):
            load_dataset(name, directory=str(tmp_path))
