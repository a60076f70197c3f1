"""Keys and sealed files: what is altered, cut, swapped or opened with another key is an error, never other bytes."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import KeyMissing, Truncated
from exchange.seal import CHUNK, Seal, digest_hex, new_digest


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    return Seal.create(tmp_path / "keys")


def sealed(seal: Seal, path: Path, plain: bytes) -> bytes:
    with path.open("wb") as file:
        writer = seal.writer(file, "landed")
        for start in range(0, len(plain), 700_001):
            writer.write(plain[start : start + 700_001])
        writer.close()
    return path.read_bytes()


def unsealed(seal: Seal, path: Path, purpose: str = "landed") -> bytes:
    with path.open("rb") as file:
        return b"".join(seal.read(file, purpose))


def test_digests_match_their_published_vectors() -> None:
    assert digest_hex(b"abc", "sm3") == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert digest_hex(b"abc", "sha256") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    running = new_digest("sm3")
    running.update(b"a")
    running.update(b"bc")
    assert running.finalize().hex() == digest_hex(b"abc")


def test_the_master_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    first, second = Seal.create(tmp_path / "keys"), Seal.create(tmp_path / "keys")
    assert first.fingerprint() == second.fingerprint()
    assert stat.S_IMODE((tmp_path / "keys/master.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["master.key"]


def test_a_missing_or_spoilt_key_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing, match="a backup of the data is useless"):
        Seal.open(tmp_path)
    (tmp_path / "master.key").write_text("not hex")
    with pytest.raises(KeyMissing, match="must hold 64 hex digits"):
        Seal.open(tmp_path)


def test_keys_of_two_purposes_differ(seal: Seal) -> None:
    assert seal.derive("a") != seal.derive("b")
    assert seal.subject("11010519491231002X") != seal.keyed_hash("index", b"11010519491231002X")
    assert "11010519491231002X" not in seal.subject("11010519491231002X")


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_sealed_file_gives_its_bytes_back_and_shows_none(seal: Seal, tmp_path: Path, size: int) -> None:
    plain = (b"CANARY--" * (size // 8 + 1))[:size]
    written = sealed(seal, tmp_path / "x.sealed", plain)
    assert unsealed(seal, tmp_path / "x.sealed") == plain
    assert b"CANARY" not in written


def test_a_truncated_file_never_passes_for_a_whole_one(seal: Seal, tmp_path: Path) -> None:
    path = tmp_path / "x.sealed"
    whole = sealed(seal, path, b"x" * (2 * CHUNK + 5))
    for cut in (len(whole) - 1, len(whole) - 21, 24 + CHUNK + 16, 30):
        path.write_bytes(whole[:cut])
        with pytest.raises(KeyMissing, match="altered"):
            unsealed(seal, path)
    path.write_bytes(whole[:10])
    with pytest.raises(Truncated, match="incomplete"):
        unsealed(seal, path)


def test_swapped_chunks_and_another_purpose_are_refused(seal: Seal, tmp_path: Path) -> None:
    path = tmp_path / "x.sealed"
    whole = sealed(seal, path, b"a" * CHUNK + b"b" * CHUNK + b"c")
    head, block = whole[:24], CHUNK + 16
    first, second, rest = whole[24 : 24 + block], whole[24 + block : 24 + 2 * block], whole[24 + 2 * block :]
    path.write_bytes(head + second + first + rest)
    with pytest.raises(KeyMissing, match="altered"):
        unsealed(seal, path)
    path.write_bytes(whole)
    with pytest.raises(KeyMissing, match="not the key"):
        unsealed(seal, path, purpose="quarantine")


@given(data=st.binary(max_size=200), flip=st.integers(min_value=0))
def test_one_flipped_bit_is_noticed(data: bytes, flip: int) -> None:
    seal = Seal(b"k" * 32)
    box = bytearray(seal.encrypt("small", data, b"context"))
    assert seal.decrypt("small", bytes(box), b"context") == data
    box[flip % len(box)] ^= 1
    with pytest.raises(KeyMissing, match="altered"):
        seal.decrypt("small", bytes(box), b"context")
