"""Keys, digests, sealed files, keyed hashes. The only import of `cryptography`.

Invariant: every key is derived from one master key, which lives in a file outside the data folder; whoever has
the data without that file has nothing. Sealed files are a chain of AES-256-GCM chunks under a key of their own
(the STREAM construction: Hoang, Reyhanitabar, Rogaway, Vizár 2015), so a cut, swapped or truncated chunk is an error.
"""

import base64
import hmac
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from exchange.errors import KeyMissing, Truncated

Algorithm = Literal["sha256", "sm3"]
ALGORITHMS: tuple[Algorithm, ...] = ("sm3", "sha256")
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {"sm3": hashes.SM3, "sha256": hashes.SHA256}

CHUNK = 1 << 20  # bytes of plain text per sealed chunk
_MAGIC = b"XSEAL1\n\x00"
_SALT = 16
_TAG = 16


class Digest(Protocol):
    """A running digest: feed it bytes, then ask once."""

    def update(self, data: bytes) -> None: ...

    def finalize(self) -> bytes: ...


def new_digest(algorithm: Algorithm) -> Digest:
    """A running digest, SM3 (GB/T 32905) or SHA-256."""
    return hashes.Hash(_HASHES[algorithm]())


def digest_hex(data: bytes, algorithm: Algorithm = "sm3") -> str:
    """The digest of bytes held in memory, lower-case hex."""
    running = new_digest(algorithm)
    running.update(data)
    return running.finalize().hex()


def same(a: str, b: str) -> bool:
    """Compare two secrets or digests in constant time."""
    return hmac.compare_digest(a.encode(), b.encode())


class Seal:
    """Everything that needs the master key. One per process, made by `Seal.open`."""

    def __init__(self, master: bytes) -> None:
        self._master = master
        self._macs: dict[str, HMAC] = {}

    def __repr__(self) -> str:
        return "Seal(****)"

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Make the master key file (0600) if there is none, and open it."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / "master.key"
        if not path.exists():
            draft = folder / f".master.{os.getpid()}"
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_hex(32).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)  # never replaces a key that another process made first
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the master key.

        Raises:
            KeyMissing: no key file, or not 64 hex digits.
        """
        path = folder / "master.key"
        try:
            master = bytes.fromhex(path.read_text().strip())
        except FileNotFoundError:
            raise KeyMissing(
                f"主密钥文件 {path} 不存在：没有它，数据备份无法读取。请从单独保管的备份恢复，或首次安装时运行 exchange migrate",
                f"the master key file {path} is missing: without it a backup of the data is useless. "
                "Restore it from its own backup, or run `exchange migrate` on a first installation",
                path=str(path),
            ) from None
        except ValueError:
            master = b""
        if len(master) != 32:
            raise KeyMissing(
                f"主密钥文件 {path} 应为 64 位十六进制数字",
                f"the master key file {path} must hold 64 hex digits",
                path=str(path),
            )
        return cls(master)

    def derive(self, purpose: str, salt: bytes = b"", length: int = 32) -> bytes:
        """A key for one purpose (HKDF-SHA256, RFC 5869). The same purpose gives the same key."""
        return HKDF(hashes.SHA256(), length=length, salt=salt or None, info=purpose.encode()).derive(self._master)

    def password(self, role: str) -> str:
        """The password of a database role: derived, so it is stored nowhere."""
        return base64.urlsafe_b64encode(self.derive(f"database role {role}", length=24)).decode()

    def fingerprint(self) -> str:
        """What the control database keeps to recognise this key: 16 hex digits, useless for anything else."""
        return self.keyed_hash("fingerprint", b"exchange")[:16]

    def keyed_hash(self, purpose: str, data: bytes) -> str:
        """HMAC-SM3 under a key of its own purpose, hex (64). Equal inputs match; nobody without the key can guess them."""
        keyed = self._macs.get(purpose)
        if keyed is None:  # deriving costs more than hashing, and the log hashes with every answer
            keyed = self._macs[purpose] = HMAC(self.derive(f"keyed hash {purpose}"), hashes.SM3())
        mac = keyed.copy()
        mac.update(data)
        return mac.finalize().hex()

    def subject(self, key: str) -> str:
        """The keyed hash by which the access log knows a subject (a person or an entity)."""
        return self.keyed_hash("log subject", key.encode())

    def encrypt(self, purpose: str, data: bytes, context: bytes = b"") -> bytes:
        """Small data: nonce + AES-256-GCM, bound to `context`."""
        nonce = secrets.token_bytes(12)
        return nonce + AESGCM(self.derive(f"encrypt {purpose}")).encrypt(nonce, data, context)

    def decrypt(self, purpose: str, data: bytes, context: bytes = b"") -> bytes:
        """The reverse of `encrypt`.

        Raises:
            KeyMissing: the data was sealed with another key, or altered.
        """
        try:
            return AESGCM(self.derive(f"encrypt {purpose}")).decrypt(data[:12], data[12:], context)
        except InvalidTag:
            raise _altered(purpose) from None

    def cipher(self, purpose: str, salt: bytes = b"") -> AESGCM:
        """An AES-256-GCM cipher for callers that seal many small blocks and keep their own nonces."""
        return AESGCM(self.derive(f"cipher {purpose}", salt))

    def writer(self, file: BinaryIO, purpose: str) -> "SealedWriter":
        """Write a sealed stream into `file`. Close it, or the stream is truncated and says so on reading."""
        salt = secrets.token_bytes(_SALT)
        file.write(_MAGIC + salt)
        return SealedWriter(file, self.cipher(purpose, salt))

    def read(self, file: BinaryIO, purpose: str) -> Iterator[bytes]:
        """The plain bytes of a sealed stream, chunk by chunk.

        Raises:
            KeyMissing: another key, or altered bytes.
            Truncated: the stream ends before its last chunk.
        """
        head = file.read(len(_MAGIC) + _SALT)
        if not head.startswith(_MAGIC) or len(head) < len(_MAGIC) + _SALT:
            raise Truncated("封存文件不完整", "the sealed file is incomplete")
        cipher = self.cipher(purpose, head[len(_MAGIC) :])
        chunk = file.read(CHUNK + _TAG)
        number = 0
        while True:
            ahead = file.read(CHUNK + _TAG)
            try:
                plain = cipher.decrypt(_nonce(number, last=not ahead), chunk, None)
            except InvalidTag:
                raise _altered(purpose) from None
            yield plain
            if not ahead:
                return
            chunk, number = ahead, number + 1


class SealedWriter:
    """Buffers plain bytes into chunks; the last chunk is marked, so a truncated file can't pass for a whole one."""

    def __init__(self, file: BinaryIO, cipher: AESGCM) -> None:
        self._file = file
        self._cipher = cipher
        self._buffer = bytearray()
        self._number = 0

    def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) > CHUNK:  # strictly: the last chunk is only known on close
            self._put(bytes(self._buffer[:CHUNK]), last=False)
            del self._buffer[:CHUNK]

    def close(self) -> None:
        """Write the last chunk and force everything to disk."""
        self._put(bytes(self._buffer), last=True)
        self._buffer.clear()
        self._file.flush()
        os.fsync(self._file.fileno())

    def _put(self, plain: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), plain, None))
        self._number += 1


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _altered(purpose: str) -> KeyMissing:
    return KeyMissing(
        f"无法解封（{purpose}）：密钥不是封存时的那一把，或数据被改动",
        f"cannot unseal ({purpose}): not the key it was sealed with, or the data was altered",
    )
