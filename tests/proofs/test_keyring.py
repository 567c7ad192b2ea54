"""The file of keys: made once, never overwritten, its secret gone after a rotation."""

import json
import stat
from pathlib import Path

import pytest

from monedero.proofs.checkpoint import Checkpoint
from monedero.proofs.keyring import KeyringError, KnownKey, create_keyring, read_keyring, rotate_keyring
from monedero.proofs.note import NoteError, VerifierKey

ROOT = bytes(range(32))


def test_a_new_key_is_its_owners_alone(tmp_path: Path) -> None:
    """The file can be read by its owner alone, and read back signs as the same key."""
    path = tmp_path / "keys"
    made = create_keyring(path, 7)
    read = read_keyring(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read.keys == made.keys == [KnownKey(str(made.key.verifier_key), 7, None)]
    assert read.checkpoint(3, ROOT) == made.checkpoint(3, ROOT)
    assert list(tmp_path.iterdir()) == [path]


def test_ledgers_have_different_names_unless_they_are_given(tmp_path: Path) -> None:
    """The origin is by chance, or the one that was asked for; one that cannot be a name is refused."""
    first, second = (create_keyring(tmp_path / name, 0).origin for name in "ab")

    assert first != second
    assert create_keyring(tmp_path / "c", 0, "example.com/ledger").origin == "example.com/ledger"
    with pytest.raises(KeyringError, match="origin"):
        create_keyring(tmp_path / "d", 0, "two words")


def test_a_key_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    """Making a key where there is one changes nothing."""
    path = tmp_path / "keys"
    create_keyring(path, 0)
    before = path.read_bytes()

    with pytest.raises(KeyringError, match="There is a signing key"):
        create_keyring(path, 0)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_rotation_keeps_the_name_and_only_the_public_half(tmp_path: Path) -> None:
    """After two rotations all three keys are listed with their times, and one secret is left, that of the newest."""
    path = tmp_path / "keys"
    first = create_keyring(path, 10)
    note = first.checkpoint(3, ROOT)
    second, third = rotate_keyring(path, 20), rotate_keyring(path, 30)
    read = read_keyring(path)

    assert read.origin == first.origin
    assert [(each.created_at, each.retired_at) for each in read.keys] == [(30, None), (20, 30), (10, 20)]
    keys = [VerifierKey.parse(each.verifier_key) for each in read.keys]
    assert [key.id for key in keys] == [each.key.verifier_key.id for each in (third, second, first)]
    assert Checkpoint.open(note, keys[2]) == Checkpoint(first.origin, 3, ROOT)
    with pytest.raises(NoteError):
        Checkpoint.open(note, keys[0])
    assert Checkpoint.open(read.checkpoint(3, ROOT), keys[0]).size == 3
    assert first.key.written() not in path.read_text()
    assert second.key.written() not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"signing_key": "x", "keys": []}'])
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    """What is no file of keys, or is missing, is said in a sentence that names it."""
    path = tmp_path / "keys"
    path.write_bytes(content)

    with pytest.raises(KeyringError, match=f"{path} is no file of keys"):
        read_keyring(path)
    with pytest.raises(KeyringError, match="cannot be read: No such file"):
        read_keyring(tmp_path / "other")
    with pytest.raises(KeyringError, match="cannot be kept at"):
        create_keyring(tmp_path / "none" / "keys", 0)


def test_a_file_whose_secret_was_altered_is_refused(tmp_path: Path) -> None:
    """A key that does not match its id is not used."""
    path = tmp_path / "keys"
    create_keyring(path, 0, "example.com")
    content = json.loads(path.read_text())
    secret = content["signing_key"]
    content["signing_key"] = secret[:-5] + ("A" if secret[-5] != "A" else "B") + secret[-4:]
    path.write_text(json.dumps(content))

    with pytest.raises(KeyringError, match="was altered"):
        read_keyring(path)
