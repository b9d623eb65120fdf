import hashlib
import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from data_files import FILES, small_set, write_image_set, write_npz

from fedket.data.download import ProgressBar, fetch_file
from fedket.data.originals import ImageSet, read_image_set
from fedket.errors import DataError

ARRAYS = small_set()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder; `short/NAME` promises one byte more than it sends."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        if not self.path.startswith("/short/"):
            super().do_GET()
            return
        content = b"half"
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) + 1))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A base URL on this machine that serves a small image set."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    write_image_set(tmp_path / "served", ARRAYS)
    handler = partial(QuietHandler, directory=tmp_path / "served")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


@pytest.fixture
def dead_url(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


def image_set(tmp_path, *base_urls):
    served = tmp_path / "served"
    if not served.exists():
        write_image_set(served, ARRAYS)
    sha256 = {
        name: hashlib.sha256((served / name).read_bytes()).hexdigest() for name in FILES.values()
    }
    return ImageSet("tiny", base_urls, sha256)


def test_missing_files_are_downloaded_once(tmp_path, server, dead_url):
    data = tmp_path / "data"
    raw = read_image_set(image_set(tmp_path, server), data)
    np.testing.assert_array_equal(raw.x_train, ARRAYS["x_train"])
    assert sorted(path.name for path in (data / "tiny").iterdir()) == sorted(FILES.values())
    again = read_image_set(image_set(tmp_path, dead_url), data)
    np.testing.assert_array_equal(again.y_test, ARRAYS["y_test"])


def test_the_next_mirror_helps_and_files_at_hand_stay(tmp_path, server, dead_url):
    data = tmp_path / "data"
    mine = small_set(seed=5)
    write_image_set(data / "tiny", mine)
    (data / "tiny" / FILES["y_test"]).unlink()
    raw = read_image_set(image_set(tmp_path, dead_url, server), data)
    np.testing.assert_array_equal(raw.x_train, mine["x_train"])
    np.testing.assert_array_equal(raw.y_test, ARRAYS["y_test"])


def test_a_wrong_checksum_leaves_no_file(tmp_path, server):
    wrong = image_set(tmp_path, server)._replace(sha256=dict.fromkeys(FILES.values(), "0" * 64))
    with pytest.raises(DataError, match="does not match the known hash"):
        read_image_set(wrong, tmp_path / "data")
    assert list((tmp_path / "data" / "tiny").iterdir()) == []


def test_an_interrupted_download_leaves_no_file(tmp_path, server):
    known = hashlib.sha256(b"half").hexdigest()
    with pytest.raises(DataError, match=r"cannot download half\.bin"):
        fetch_file("half.bin", (f"{server}short/",), known, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_an_absent_file_and_an_unwritable_folder_are_explained(tmp_path, server):
    with pytest.raises(DataError, match="404"):
        fetch_file("absent", (server,), "0" * 64, tmp_path / "data")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"File exists|Not a directory"):
        fetch_file("absent", (server,), "0" * 64, tmp_path / "file")


def test_offline_the_message_says_what_was_tried_and_what_to_do(tmp_path, dead_url):
    data = tmp_path / "data"
    with pytest.raises(DataError, match="Connection refused") as error:
        read_image_set(image_set(tmp_path, dead_url), data)
    message = str(error.value)
    assert "\n" not in message
    for part in (
        f"{dead_url}{FILES['x_train']}",
        *FILES.values(),
        str(data / "tiny"),
        "FEDKET_DATA",
    ):
        assert part in message
    write_npz(data / "tiny.npz", ARRAYS)
    raw = read_image_set(image_set(tmp_path, dead_url), data)
    np.testing.assert_array_equal(raw.x_test, ARRAYS["x_test"])


def test_the_bar_draws_on_a_terminal_only(capsys, monkeypatch):
    for terminal in ("0", "1"):
        monkeypatch.setenv("TTY_COMPATIBLE", terminal)
        bar = ProgressBar("images.gz")
        bar.total = 10
        bar.update(10)
        bar.reset()
        bar.update(10)
        bar.close()
        assert ("images.gz" in capsys.readouterr().err) == (terminal == "1")
