"""Formats we do not take, by their first bytes: so the refusal can say what the file is instead of what it is not."""

_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "旧版 Excel（.xls）或加密的 Excel 文件",
        "an old (.xls) or password-protected Excel file",
    ),
    (b"\xff\xfe", "UTF-16 文本（Excel 的“Unicode 文本”）", "UTF-16 text (Excel's “Unicode text”)"),
    (b"\xfe\xff", "UTF-16 文本", "UTF-16 text"),
    (b"%PDF", "PDF 文件", "a PDF file"),
    (b"\x1f\x8b", "gzip 压缩文件", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "7z 压缩文件", "a 7z archive"),
    (b"Rar!", "RAR 压缩文件", "a RAR archive"),
    (b"PAR1", "Parquet 文件", "a Parquet file"),
    (b"\x89PNG", "PNG 图片", "a PNG picture"),
    (b"\xff\xd8\xff", "JPEG 图片", "a JPEG picture"),
    (b"SQLite format 3\x00", "SQLite 数据库", "an SQLite database"),
    (b"\x7fELF", "可执行程序", "a program"),
    (b"MZ\x90", "可执行程序", "a program"),
)


def name_foreign(head: bytes) -> tuple[str, str] | None:
    """(zh, en) of a known foreign format, or None."""
    for magic, zh, en in _MAGIC:
        if head.startswith(magic):
            return zh, en
    return None
