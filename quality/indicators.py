"""The six dimensions of GB/T 36344-2018 and their indicators, and the gate's other words, in two languages.

Invariant: every rule names one of these indicators; the first two digits of an indicator are its dimension.
"""

DIMENSIONS = {
    "01": ("规范性", "conformity"),
    "02": ("完整性", "completeness"),
    "03": ("准确性", "accuracy"),
    "04": ("一致性", "consistency"),
    "05": ("时效性", "timeliness"),
    "06": ("可访问性", "accessibility"),
}
INDICATORS = {
    "0101": ("规范性 · 数据标准", "conformity: data standard"),
    "0102": ("规范性 · 数据模型", "conformity: data model"),
    "0103": ("规范性 · 元数据", "conformity: metadata"),
    "0104": ("规范性 · 业务规则", "conformity: business rules"),
    "0105": ("规范性 · 权威参考数据", "conformity: reference data"),
    "0106": ("规范性 · 安全规范", "conformity: security"),
    "0201": ("完整性 · 数据元素", "completeness: elements"),
    "0202": ("完整性 · 数据记录", "completeness: records"),
    "0301": ("准确性 · 内容正确性", "accuracy: content"),
    "0302": ("准确性 · 格式合规性", "accuracy: format"),
    "0303": ("准确性 · 数据重复率", "accuracy: duplication"),
    "0304": ("准确性 · 数据唯一性", "accuracy: uniqueness"),
    "0305": ("准确性 · 脏数据出现率", "accuracy: dirty data"),
    "0401": ("一致性 · 相同数据", "consistency: same data"),
    "0402": ("一致性 · 关联数据", "consistency: related data"),
    "0501": ("时效性 · 时间段正确性", "timeliness: period"),
    "0502": ("时效性 · 时间点及时性", "timeliness: moment"),
    "0503": ("时效性 · 时序性", "timeliness: order"),
    "0601": ("可访问性 · 可访问", "accessibility: access"),
    "0602": ("可访问性 · 可用性", "accessibility: availability"),
}
DECISIONS = {"accepted": ("接受", "accepted"), "rejected": ("退回", "rejected"), "held": ("待确认", "held")}
LEVELS = {
    "block": ("阻断", "block"),
    "quarantine": ("隔离", "quarantine"),
    "warn": ("提示", "warn"),
    "hold": ("挂起", "hold"),
}
