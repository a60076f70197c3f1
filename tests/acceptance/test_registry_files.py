"""Real registry files go the whole way: CSV, GB18030 and XLSX, to the legal-entity base and back out by query."""

import asyncio
import io
from collections import Counter
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from exchange import catalogue, grants
from exchange.callers import Caller
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.house import House
from exchange.intake import landing
from exchange.intake.parcel import Declaration
from exchange.seal import digest_hex
from pools import lake, way
from pools.reader import IndexReader
from quality import gate, quarantine

ROOT = Path(__file__).parents[2]
MARKET, LAND = "11410800900000014P", "11410800900000022J"
JIAOZUO, JIANGSU = "legal_entity_jiaozuo.csv", "legal_entity_jiangsu_2002_messy.csv"

pytestmark = pytest.mark.real_data


@pytest.fixture
def city(house: House) -> House:
    lake.prepare(house)
    catalogue.load(house, ROOT / "docs/example/catalogue")
    return house


def push(house: House, data: bytes, rows: int, batch: int, name: str) -> str:
    declaration = Declaration("market_entity", batch, "full", rows, "sm3", digest_hex(data), name)
    return landing.land_file(house, Caller(None, MARKET), declaration, io.BytesIO(data), door="test").id


def pooled_keys(house: House) -> list[str]:
    with house.lake() as connection:
        return [row[0] for row in connection.execute("SELECT uscc FROM lake.pool_market_entity ORDER BY _row").fetchall()]


def failed(house: House, push_id: str) -> dict[str, int]:
    return {rule["id"]: rule["failed"] for rule in gate.verdict(house, push_id).as_dict()["rules"] if rule["failed"]}


def as_xlsx(data: bytes) -> bytes:
    buffer = io.BytesIO()
    pl.read_csv(data, infer_schema=False).write_excel(buffer)
    return buffer.getvalue()


def test_jiaozuo_has_no_bad_key_and_475_registered_elsewhere(city: House, registry_files: Path) -> None:
    data = (registry_files / JIAOZUO).read_bytes()
    push_id = push(city, data, 5219, 1, JIAOZUO)
    way.process(city, push_id)
    verdict = gate.verdict(city, push_id)
    assert (verdict.decision, verdict.rows, verdict.accepted_rows, verdict.quarantined_rows) == ("accepted", 5219, 5219, 0)
    elsewhere = {name: count for name, count in failed(city, push_id).items() if "registered_elsewhere" in name}
    assert list(elsewhere.values()) == [475]
    codes = Counter(key[2:6] for key in pooled_keys(city) if key[2:6] not in ("4108", "4100"))
    assert codes.most_common(1) == [("4107", 434)]
    assert sum(codes.values()) == 475


def test_jiangsu_has_exactly_222_bad_keys_each_in_the_row_error_file(city: House, registry_files: Path) -> None:
    data = (registry_files / JIANGSU).read_bytes()
    push_id = push(city, data, 4863, 1, JIANGSU)
    way.process(city, push_id)
    verdict = gate.verdict(city, push_id)
    assert (verdict.decision, verdict.rows, verdict.accepted_rows, verdict.quarantined_rows) == (
        "accepted",
        4863,
        4641,
        222,
    )
    errors = pl.read_csv(quarantine.row_errors(city, Caller(None, MARKET), push_id), infer_schema=False)
    keys = {row[0]: row[-1] for row in errors.rows() if "统一社会信用代码" in row[1]}
    lengths = Counter(len(value) for value in keys.values())
    assert (len(keys), lengths[15], lengths[13]) == (222, 204, 17)


FIELDS = (
    "entity_name",
    "established_date",
    "entity_type",
    "registered_capital",
    "business_scope",
    "city",
    "registered_address",
)


def answers(house: House, keys: list[str]) -> dict[str, dict[str, str | None] | None]:
    """Every key asked for, a hundred at a time, through the one way out: its values, or None where nothing is known."""
    reader, out = IndexReader(house), {}

    async def ask() -> None:
        for start in range(0, len(keys), 100):
            request = Request(
                "base:legal_entity", "query", tuple(keys[start : start + 100]), FIELDS, "资质核验", "李工", None
            )
            delivery = await deliver(house, reader, Caller(None, LAND), request)
            out.update({r["key"]: r["values"] if r["found"] else None for r in delivery.as_dict()["records"]})
        await house.registry.aclose()

    asyncio.run(ask())
    return out


def as_written(text: str | None) -> str | None:
    """A cell as the base must say it: blanks around it are not part of it, an empty cell is nothing."""
    return (text or "").strip() or None


@pytest.mark.parametrize("form", ["utf-8", "gb18030", "xlsx"])
@pytest.mark.parametrize(("name", "rows", "bad"), [(JIAOZUO, 5219, 0), (JIANGSU, 4863, 222)])
def test_every_enterprise_goes_the_whole_way_and_comes_back_out(
    city: House, registry_files: Path, name: str, rows: int, bad: int, form: str
) -> None:
    data = (registry_files / name).read_bytes()
    forms = {"utf-8": data, "gb18030": data.decode("utf-8-sig").encode("gb18030"), "xlsx": as_xlsx(data)}
    push_id = push(city, forms[form], rows, 1, f"{form}.dat")
    way.process(city, push_id)
    assert gate.verdict(city, push_id).quarantined_rows == bad
    built = way.rebuild(city, "legal_entity")
    assert built is not None
    assert built.rows == rows - bad
    grants.give(
        city, LAND, "base:legal_entity", fields=list(FIELDS), modes=["query"], purpose="资质核验", unmasked=list(FIELDS),
        legal_basis="行政许可法 第三十四条", valid_from=date(2020, 1, 1), valid_until=date(2099, 1, 1),
    )  # fmt: skip
    written = {row[1]: row for row in pl.read_csv(data, infer_schema=False).rows()}
    known = {key: row for key, row in written.items() if len(key) == 18}
    out = answers(city, sorted(known))
    assert len(written) - len(known) == bad  # none of the bad keys has eighteen characters
    assert out == {
        key: dict(zip(FIELDS, map(as_written, (row[0], *row[2:6], row[7], row[8])), strict=True))
        for key, row in known.items()
    }


def test_three_jiangsu_rows_are_beyond_gbk(registry_files: Path) -> None:
    def beyond(line: str) -> bool:
        try:
            line.encode("gbk")
        except UnicodeEncodeError:
            return True
        return False

    assert sum(map(beyond, (registry_files / JIANGSU).read_text("utf-8-sig").splitlines())) == 3
