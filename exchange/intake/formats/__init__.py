"""The formats a parcel may have: one file each, one dict to read them in.

Adding one: a module with a class that satisfies `Format`, a line in FORMATS (the first to claim a file reads it), its
spec in tests/intake/.
"""

from typing import BinaryIO

from exchange.errors import EmptyParcel, Unreadable
from exchange.intake.formats.delimited import Delimited
from exchange.intake.formats.foreign import name_foreign
from exchange.intake.formats.format import Format, Shape
from exchange.intake.formats.workbook import Workbook

FORMATS: dict[str, Format] = {"xlsx": Workbook(), "csv": Delimited()}

__all__ = ["FORMATS", "Format", "Shape", "detect"]


def detect(plain: BinaryIO) -> Format:
    """Which of FORMATS the first bytes are.

    Raises:
        EmptyParcel: no bytes at all.
        Unreadable: none of them; says which format it looks like.
    """
    plain.seek(0)
    head = plain.read(4096)
    if not head:
        raise EmptyParcel("文件是空的（0 字节）", "the file is empty (0 bytes)")
    foreign = name_foreign(head)
    if foreign is not None:
        raise Unreadable(
            f"这不是可接收的表格，而像是{foreign[0]}；请另存为 CSV（UTF-8）或 XLSX 后重新推送",
            f"not a table we accept: it looks like {foreign[1]}; save it as CSV (UTF-8) or XLSX and push again",
        )
    return next(format_ for format_ in FORMATS.values() if format_.claims(head))
