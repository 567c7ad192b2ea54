"""Signed notes and their keys, beside those that others have published."""

import pytest

from monedero.proofs.note import NoteError, SigningKey, VerifierKey, decode_base64, open_note

# The example of the package that signed notes come from.
SIGNING = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = (
    f"{TEXT}\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6Ry"
    "yBwJnAM=\n"
)
# The key of a log that is in use.
ELSEWHERE = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
WITNESS = SigningKey.generate("witness.example.com")


def test_a_published_key_signs_the_published_note() -> None:
    """Text, key and signature come out byte for byte as they were published."""
    key = SigningKey.parse(SIGNING)

    assert key.sign(TEXT) == NOTE
    assert str(key.verifier_key) == PUBLIC
    assert key.written() == SIGNING
    assert open_note(NOTE, VerifierKey.parse(PUBLIC)) == TEXT
    assert str(VerifierKey.parse(ELSEWHERE)) == ELSEWHERE


def test_a_signature_of_somebody_else_changes_nothing() -> None:
    """What others sign below, above or without us is theirs; ours must be there."""
    key, other = VerifierKey.parse(PUBLIC), WITNESS.sign(TEXT).removeprefix(f"{TEXT}\n")

    assert open_note(NOTE + other, key) == TEXT
    assert open_note(NOTE.replace("\n\n", f"\n\n{other}"), key) == TEXT
    with pytest.raises(NoteError, match="no signature by PeterNeumann"):
        open_note(f"{TEXT}\n{other}", key)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        TEXT,
        f"{TEXT}\n",
        NOTE.removesuffix("\n"),
        NOTE + "\n",
        NOTE.replace("\u2014", "-"),
        NOTE.replace("PeterNeumann x08go", "PeterNeumann  x08go"),
        NOTE.replace("PeterNeumann", "PeterNewmann"),
        NOTE.replace("x08go", "y08go"),
        NOTE.replace("JnAM=", "JnAN="),
        NOTE.replace("JnAM=\n", "JnAM\n"),
        NOTE.replace("JnAM=\n", "JnAM=\r\n"),
        NOTE.replace("problem is", "problem was"),
        NOTE.replace("problem,\n", "problem,\n\n"),
        NOTE + NOTE.rpartition("\n\n")[2] * 16,
        NOTE + NOTE.rpartition("\n\n")[2].replace("SffcvI", "SffcvJ"),
    ],
)
def test_anything_else_is_not_signed(note: str) -> None:
    """A text, name, id, signature or form that is not the signed one is no note; a bad one of ours spoils it."""
    with pytest.raises(NoteError):
        open_note(note, VerifierKey.parse(PUBLIC))


@pytest.mark.parametrize("key", [PUBLIC, SIGNING])
def test_an_altered_key_is_none(key: str) -> None:
    """No character of a key can be changed or left out: its id tells."""
    parse = SigningKey.parse if key == SIGNING else VerifierKey.parse
    for at, character in enumerate(key):
        for instead in ("", "B" if character == "A" else "A", character.swapcase()):
            if instead == character:
                continue
            with pytest.raises(NoteError):
                parse(key[:at] + instead + key[at + 1 :])


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a\nb", "ñ", "x" * 201])
def test_a_name_fits_on_a_line(name: str) -> None:
    """A key's name has neither spaces nor a plus, which would make the line of its signature mean something else."""
    with pytest.raises(NoteError):
        SigningKey.generate(name)


@pytest.mark.parametrize("text", ["AB==", "AA=", "AA", "A", "A A=", "AA==\n", "AA__", "ÄA=="])
def test_base64_is_written_in_one_way(text: str) -> None:
    """Bits that mean nothing, missing padding, spaces, other alphabets are refused: nothing has two forms."""
    assert decode_base64("AA==") == b"\x00"
    with pytest.raises(NoteError):
        decode_base64(text)
