"""Formats we do not take, by their first bytes: so the refusal can say what the file is instead of what it is not."""

import re

_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\xff\xfe", "UTF-16 文本（Excel 的“Unicode 文本”）", "UTF-16 text (Excel's “Unicode text”)"),
    (b"\xfe\xff", "UTF-16 文本", "UTF-16 text"),
    (b"%PDF", "PDF 文件", "a PDF file"),
    (b"7z\xbc\xaf\x27\x1c", "7z 压缩文件", "a 7z archive"),
    (b"Rar!", "RAR 压缩文件", "a RAR archive"),
    (b"BZh", "bzip2 压缩文件", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "xz 压缩文件", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "zstd 压缩文件", "a zstd archive"),
    (b"PARE", "加密的 Parquet 文件", "an encrypted Parquet file"),
    (b"FEA1", "旧版 Feather 文件", "an old Feather file"),
    (b"Obj\x01", "Avro 文件", "an Avro file"),
    (b"\x89PNG", "PNG 图片", "a PNG picture"),
    (b"\xff\xd8\xff", "JPEG 图片", "a JPEG picture"),
    (b"SQLite format 3\x00", "SQLite 数据库", "an SQLite database"),
    (b"\x7fELF", "可执行程序", "a program"),
    (b"MZ\x90", "可执行程序", "a program"),
)
# what systems save under the names .xls and .csv, by how their text begins
_TEXTS: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (
        re.compile(rb"\s*<(!doctype html|!--|html|head|meta|style|table|body|div)\b", re.IGNORECASE),
        "网页表格（HTML），只是改了扩展名",
        "a web page's table (HTML) under another name",
    ),
    (re.compile(rb"\s*<\?xml|\s*<workbook\b", re.IGNORECASE), "XML 表格", "an XML spreadsheet"),
    (re.compile(rb"\s*MIME-Version:", re.IGNORECASE), "网页存档（MHTML）", "a web archive (MHTML)"),
    (
        re.compile(rb"\s*\[\s*\{"),
        "JSON 数组；JSON 应每行一个对象（JSON Lines），首尾不加方括号",
        "a JSON array (JSON must be one object a line, without the brackets around them)",
    ),
)
_TAR = (257, b"ustar")


def name_foreign(head: bytes) -> tuple[str, str] | None:
    """(zh, en) of a known foreign format, or None."""
    for magic, zh, en in _MAGIC:
        if head.startswith(magic):
            return zh, en
    if head[_TAR[0] :].startswith(_TAR[1]):
        return "TAR 归档文件", "a TAR archive"
    text = head.removeprefix(b"\xef\xbb\xbf")
    return next(((zh, en) for pattern, zh, en in _TEXTS if pattern.match(text)), None)
