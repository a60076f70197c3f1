"""The words of the pages and the workbook, 中文 first."""

NOT_APPLICABLE = "不适用 n/a"
NOT_RECORDED = "未记录 not recorded"
UNITS = {"check": "检查 checks", "deadline": "期限 deadlines", "comparison": "比对 comparisons"}
WHATS = {"added": ("新增", "added"), "changed": ("修改", "changed"), "removed": ("删除", "removed")}
CYCLES = {
    "realtime": ("实时", "at once"),
    "daily": ("每日", "daily"),
    "weekly": ("每周", "weekly"),
    "monthly": ("每月", "monthly"),
    "quarterly": ("每季度", "quarterly"),
    "half_yearly": ("每半年", "half-yearly"),
    "yearly": ("每年", "yearly"),
    "irregular": ("不定期", "at no fixed time"),
    "other": ("其他", "other"),
}


def both(words: dict[str, tuple[str, str]], key: str) -> str:
    """中文 and English beside it."""
    return " ".join(words[key])
