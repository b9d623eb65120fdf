import copy
import logging
import pickle

import pytest

from fedket.errors import KeyMaterialError
from fedket.keys.material import KeyMaterial

SECRET = b"correct horse battery staple \x00\xff"


def disguises(secret: bytes) -> list[str]:
    return [secret[:12].decode("latin1"), secret[:12].hex(), str(list(secret[:12]))]


def test_the_bytes_come_out_only_on_request():
    assert KeyMaterial(SECRET).reveal() == SECRET
    assert len(KeyMaterial(SECRET)) == len(SECRET)


def test_printing_and_logging_show_the_length_only(caplog):
    key = KeyMaterial(SECRET)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("%s %r %s", key, key, [key])
    shown = [repr(key), str(key), f"{key}", f"{key!r}", f"{[key]}", f"{(key,)}", caplog.text]
    for text in shown:
        assert f"KeyMaterial({len(SECRET)} bytes, hidden)" in text
        assert not any(disguise in text for disguise in disguises(SECRET))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_keys_are_not_pickled(protocol):
    with pytest.raises(KeyMaterialError, match="cannot be pickled") as error:
        pickle.dumps({"key": KeyMaterial(SECRET)}, protocol)
    assert not any(disguise in str(error.value) for disguise in disguises(SECRET))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_keys_are_not_copied(duplicate):
    with pytest.raises(KeyMaterialError, match="copied"):
        duplicate(KeyMaterial(SECRET))


def test_keys_have_no_hash_no_attributes_and_no_bytes():
    key = KeyMaterial(SECRET)
    for leak in (hash, vars, bytes, iter):
        with pytest.raises(TypeError):
            leak(key)


def test_keys_compare_with_keys_only():
    assert KeyMaterial(SECRET) == KeyMaterial(bytes(SECRET))
    assert KeyMaterial(SECRET) != KeyMaterial(SECRET[:-1] + b"x")
    assert KeyMaterial(SECRET) != SECRET
