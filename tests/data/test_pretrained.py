"""Weights: found, downloaded with a checksum, read by format, refused in one line."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fedket.data import pretrained
from fedket.data.pretrained import WEIGHTS, WeightsFile, find_weights, read_weights
from fedket.errors import DataError

GOLDEN = Path(__file__).parent / "golden" / "torch_sequence.pth"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """A base URL on this machine that serves the golden files."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = partial(Quiet, directory=GOLDEN.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


def publish(monkeypatch, url, sha256):
    monkeypatch.setitem(WEIGHTS, "vgg16", WeightsFile(GOLDEN.name, (url,), sha256))


def test_published_weights_are_downloaded_once_and_checked(server, monkeypatch, tmp_path):
    publish(monkeypatch, server, hashlib.sha256(GOLDEN.read_bytes()).hexdigest())
    path = find_weights("vgg16", "", tmp_path)
    assert path == tmp_path / GOLDEN.name
    np.testing.assert_array_equal(read_weights(path)["plain"].ravel(), np.arange(24))
    publish(monkeypatch, "http://127.0.0.1:9/", "0" * 64)
    assert find_weights("vgg16", "", tmp_path) == path


def test_another_file_under_the_name_is_not_kept(server, monkeypatch, tmp_path):
    publish(monkeypatch, server, "0" * 64)
    with pytest.raises(DataError, match="does not match the known hash"):
        find_weights("vgg16", "", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_offline_the_message_says_what_to_put_where(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    publish(monkeypatch, "http://127.0.0.1:9/", "0" * 64)
    with pytest.raises(DataError, match=r"without a network put torch_sequence\.pth into") as error:
        find_weights("vgg16", "", tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_vgg16_is_torchvisions():
    """The file's name carries the first eight digits of its checksum."""
    published = pretrained.WEIGHTS["vgg16"]
    assert published.name == f"vgg16-{published.sha256[:8]}.pth"
    assert len(published.sha256) == 64


def test_weights_are_found_by_path_or_below_the_data_directory(tmp_path):
    assert find_weights("vgg16", str(GOLDEN), tmp_path) == GOLDEN
    assert find_weights("vgg16", GOLDEN.name, GOLDEN.parent) == GOLDEN
    with pytest.raises(DataError, match=r"no file at a\.npz and .*a\.npz"):
        find_weights("vgg16", "a.npz", tmp_path)
    with pytest.raises(DataError, match=r"no weights of squeezenet1_1 at .*FEDKET_DATA"):
        find_weights("squeezenet1_1", "", tmp_path)


def test_every_format_gives_the_same_arrays(tmp_path):
    arrays = {"conv/kernel": np.arange(6.0).reshape(2, 3), "conv/bias": np.float32([1, 2])}
    np.savez(tmp_path / "a.npz", **arrays)
    save_file(arrays, tmp_path / "a.safetensors")
    for suffix in ("npz", "safetensors"):
        found = read_weights(tmp_path / f"a.{suffix}")
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "pth"])
def test_truncated_and_absent_files_are_refused_by_name(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(DataError, match=f"no weights file at .*{suffix}"):
        read_weights(path)
    arrays = {"x": np.arange(1000.0)}
    if suffix == "npz":
        np.savez(path, **arrays)
    elif suffix == "safetensors":
        save_file(arrays, path)
    else:
        path.write_bytes(GOLDEN.read_bytes())
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(DataError, match="get it again") as error:
        read_weights(path)
    assert str(path) in str(error.value)


def test_other_formats_are_refused(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"x")
    with pytest.raises(DataError, match=r"\.npz, \.safetensors and \.pth"):
        read_weights(tmp_path / "a.h5")
