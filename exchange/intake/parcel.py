"""What a provider says about a parcel before its bytes arrive.

Invariant: a `Declaration` has been checked for form: nothing in it can be mistaken for a path, a negative count or a
digest of another length. Whether it is true is for `landing` to find out.
"""

import unicodedata
from dataclasses import dataclass
from typing import Literal, get_args

from exchange.errors import ParcelRefused, UnsafeName
from exchange.seal import ALGORITHMS, Algorithm

Mode = Literal["full", "incremental", "deletions"]
MODES: tuple[str, ...] = get_args(Mode)
DIGEST_DIGITS = 64  # SM3 (GB/T 32905) and SHA-256 are both 256 bits
MAX_BATCH = 2**63 - 1
MAX_FILENAME = 255


@dataclass(frozen=True)
class Declaration:
    """A parcel as announced.

    Args:
        batch: the provider's own number of this delivery, 1 or more; the same number never stands for other bytes.
        mode: what the file holds (`exchange/intake/form.py`).
        rows: data rows, the header not counted.
        digest: of the bytes as sent, hex.
        filename: what the provider calls the file; kept nowhere, refused when it tries to be a path.

    Raises:
        UnsafeName, ParcelRefused: the form is wrong.
    """

    resource_id: str
    batch: int
    mode: Mode
    rows: int
    algorithm: Algorithm
    digest: str
    filename: str | None = None

    def __post_init__(self) -> None:
        if self.filename is not None:
            _check_filename(self.filename)
        if not 1 <= self.batch <= MAX_BATCH:
            raise ParcelRefused(
                f"批次号应为 1 或更大的整数，收到 {self.batch}", f"the batch number must be 1 or more, got {self.batch}"
            )
        if not 0 <= self.rows <= MAX_BATCH:
            raise ParcelRefused(f"行数不能为 {self.rows}", f"the row count cannot be {self.rows}")
        if self.mode not in MODES:
            raise ParcelRefused(
                f"推送方式应为 {'、'.join(MODES)} 之一（全量、增量、删除清单）",
                f"the mode must be one of {', '.join(MODES)}",
            )
        if self.algorithm not in ALGORITHMS:
            known = "、".join(ALGORITHMS)
            raise ParcelRefused(
                f"摘要算法应为 {known} 之一", f"the digest algorithm must be one of {', '.join(ALGORITHMS)}"
            )
        object.__setattr__(self, "digest", self.digest.lower())
        if len(self.digest) != DIGEST_DIGITS or not set(self.digest) <= set("0123456789abcdef"):
            raise ParcelRefused(
                f"摘要应为 {DIGEST_DIGITS} 位十六进制数字，收到 {len(self.digest)} 个字符",
                f"the digest must be {DIGEST_DIGITS} hex digits, got {len(self.digest)} characters",
            )


def parse_digest(text: str) -> tuple[Algorithm, str]:
    """Read `sm3=<hex>` or `sha256=<hex>`.

    Raises:
        ParcelRefused: not of that form.
    """
    name, _, digest = text.strip().partition("=")
    for algorithm in ALGORITHMS:
        if name.strip().lower() == algorithm and digest:
            return algorithm, digest.strip()
    raise ParcelRefused(
        "摘要应写成 sm3=<64 位十六进制> 或 sha256=<64 位十六进制>",
        "write the digest as sm3=<64 hex digits> or sha256=<64 hex digits>",
    )


def _check_filename(name: str) -> None:
    bad = not name.strip() or name in {".", ".."} or len(name.encode("utf-8", "replace")) > MAX_FILENAME
    bad = bad or any(character in '/\\:*?"<>|' or unicodedata.category(character)[0] == "C" for character in name)
    if bad:
        raise UnsafeName(
            '文件名不能是路径，也不能含 / \\ : * ? " < > | 或控制字符，且不超过 255 字节；请只给文件名本身',
            'a file name must not be a path, must not hold / \\ : * ? " < > | or control characters, and has at most '
            "255 bytes; give the bare file name",
        )
