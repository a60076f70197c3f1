"""The rules of the catalogue that need neither database nor engine, each a short function with a stable name.

Invariant: every rule looks at every entry; what one rule finds does not stop another. Sources: 发改高技〔2017〕1272号
(core metadata, share classes, 前段码), 政务数据共享条例 (share 3 needs law), GB 32100 (department codes),
GB/T 36344 (quality indicators). docs/catalogue.md lists the rules by the names used here.
"""

from exchange.catalogue.draft import Reading, ResourceDraft, Written
from exchange.catalogue.findings import Place
from exchange.catalogue.rules.bases import BASE_RULES, complete
from exchange.catalogue.rules.departments import departments, tables, unique
from exchange.catalogue.rules.items import ITEM_RULES
from exchange.catalogue.rules.resources import RESOURCE_RULES


def check(reading: Reading) -> None:
    """Add a finding for every broken rule."""
    departments(reading)
    tables(reading)
    unique(reading)
    if not reading.resources and not reading.findings:
        reading.findings.add(
            Place("resources/"),
            "empty-catalogue",
            "一个资源也没有；载入会下架全部资源，请至少保留一个",
            "there is no resource; loading this would retire all of them; keep at least one",
        )
    for written in reading.resources:
        check_resource(written, reading)
    for base in reading.bases:
        for base_rule in BASE_RULES:
            base_rule(base, reading)


def check_resource(written: Written[ResourceDraft], reading: Reading) -> None:
    """The same for one resource; `reading` holds the departments and code tables it may name."""
    for rule in RESOURCE_RULES:
        rule(written, reading)
    for number, item in enumerate(written.entry.items):
        for item_rule in ITEM_RULES:
            item_rule(item, written.place("items", number, item=item.name), written, reading)


__all__ = ["check", "check_resource", "complete"]
