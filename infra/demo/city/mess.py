"""How mistakes get into what is sent: every row at most one, and beside it what the exchange should know instead."""

from infra.demo.city.sheet import Mess, Sheet

WIDE = "translate({0}, '0123456789XABCDEFGHJKLMNPQRTUWY', '０１２３４５６７８９ＸＡＢＣＤＥＦＧＨＪＫＬＭＮＰＱＲＴＵＷＹ')"
OTHER_CHECK = "left({0}, 17) || CASE right({0}, 1) WHEN '0' THEN '1' ELSE '0' END"


def sent(sheet: Sheet) -> str:
    """SQL of the table as sent: every row with at most one mess, then the rows that are sent twice."""
    cases, below = [], 0
    for mess in sheet.messes:
        cases.append(f"WHEN _dice >= {below} AND _dice < {below + mess.share} AND {mess.where} THEN '{mess.kind}'")
        below += mess.share
    kind = f"CASE {' '.join(cases)} END" if cases else "NULL::VARCHAR"
    columns = ", ".join(
        f"{_as_sent(sheet, name)} AS sent_{name}, {_as_known(sheet, name)} AS {name}" for name, _ in sheet.items
    )
    table = f"sent_{sheet.name}"
    return f"""
        CREATE OR REPLACE TABLE {table} AS
        WITH truth AS (SELECT *, dice(_n, '{sheet.name}', 100000) AS _dice FROM ({sheet.truth})),
        judged AS (SELECT *, {kind} AS _kind FROM truth),
        twice AS (SELECT *, false AS _again FROM judged UNION ALL
                  SELECT *, true FROM judged WHERE _kind IS NULL AND chance(_n, '{sheet.name} again', {sheet.duplicates}))
        SELECT _n, _kind, _again, {columns} FROM twice ORDER BY _again, _n"""


def _as_sent(sheet: Sheet, name: str) -> str:
    return _changed(name, [mess for mess in sheet.messes if mess.item == name])


def _as_known(sheet: Sheet, name: str) -> str:
    """What a pool holds: a value that is only warned about is taken as it came."""
    return _changed(name, [mess for mess in sheet.messes if mess.item == name and mess.effect == "warn"])


def _changed(name: str, messes: list[Mess]) -> str:
    cases = " ".join(f"WHEN '{mess.kind}' THEN {mess.sent}" for mess in messes)
    return f"CASE _kind {cases} ELSE {name} END" if cases else name


def good(sheet: Sheet) -> str:
    """SQL of the rows that belong in the pool: nothing to quarantine about them."""
    kinds = ", ".join(f"'{mess.kind}'" for mess in sheet.messes if mess.effect == "quarantine") or "''"
    return f"SELECT * FROM sent_{sheet.name} WHERE NOT _again AND (_kind IS NULL OR _kind NOT IN ({kinds}))"


def word(sheet: Sheet, key: str, place: int, item: str) -> str:
    """SQL: what a sheet says of every key."""
    value = f"{item}::VARCHAR"
    if sheet.several:
        value = f"arg_max({value}, (updated_at, _n)) FILTER ({item} IS NOT NULL)"
    return f"SELECT {key} AS key, {place} AS place, {value} AS value FROM ({good(sheet)}){' GROUP BY 1' if sheet.several else ''}"
