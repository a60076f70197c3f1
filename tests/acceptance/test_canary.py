"""Canaries: personal values go the whole way, accepted, quarantined, asked for, refused; afterwards they are searched for
in every file of the house, every table of its databases and the server's own files, and are found nowhere.
"""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg
import pytest

from exchange import access_log, grants
from exchange.callers import Caller
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.errors import AccessRefused
from exchange.house import House
from exchange.intake import landing
from exchange.intake.parcel import Declaration
from exchange.seal import digest_hex
from pools import lake, way
from pools.explain import explain
from pools.reader import IndexReader
from quality import quarantine, report
from tests.api.kit import bearer, opened
from tests.make import POLICE, TAX, resident, small_city
from tests.searching import dump, files_with, write_names

GOOD, BAD = resident(7_777_777), resident(8_888_888)[:-1] + "?"  # the second can't pass
NAME, STREET, MOBILE = "金丝雀甲", "鸣禽巷七百七十七号", "13877770777"
CANARIES = (GOOD, BAD, NAME, STREET, MOBILE)
# The asking side's own lines, and the server's list of addresses asked for, which the house runs without (infra/up.py).
NOT_OURS = ("httpx", "httpcore", "uvicorn.access")


def whole_way(house: House) -> None:
    """Every step that touches a person's row."""
    lake.prepare(house)
    rows = [f"{GOOD},{NAME},1,1990-01-01,{STREET},{MOBILE}", f"{BAD},{NAME},1,1990-01-01,{STREET},{MOBILE}"]
    rows += [f"{resident(n)},{NAME},1,1990-01-01,{STREET},{MOBILE}" for n in range(40)]
    data = ("公民身份号码,姓名,性别,出生日期,户籍地址,联系电话\n" + "\n".join(rows) + "\n").encode()
    declaration = Declaration("police_household", 1, "full", len(rows), "sm3", digest_hex(data), "people.csv")
    push = landing.land_file(house, Caller(None, POLICE), declaration, io.BytesIO(data), "test")
    way.process(house, push.id)
    report.render(house, push.id)
    errors = quarantine.row_errors(house, Caller(None, POLICE), push.id).decode("utf-8-sig")
    assert BAD in errors
    with pytest.raises(AccessRefused):
        quarantine.row_errors(house, Caller(None, TAX), push.id)
    way.rebuild(house, "population")
    assert any(part.value == NAME for part in explain(house, "population", GOOD).fields)
    grants.give(
        house, TAX, "base:population", fields=["name"], modes=["query"], purpose="核定", legal_basis="税收征收管理法 第六条",
        valid_from=date(2020, 1, 1), valid_until=date(2099, 1, 1), unmasked=["name"],
    )  # fmt: skip
    asyncio.run(ask(house))
    assert [entry["decision"] for entry in access_log.who_saw(house, GOOD, Caller(None, POLICE))][:1]


async def ask(house: House) -> None:
    """One answer, one refusal."""
    reader = IndexReader(house)
    allowed = Request("base:population", "query", (GOOD,), ("name",), "核定", "税务经办", None)
    answer = await deliver(house, reader, Caller(None, TAX), allowed)
    assert answer.as_dict()["records"][0]["values"] == {"name": NAME}
    beyond = Request("base:population", "query", (GOOD,), ("name", "mobile"), "核定", "税务经办", None)
    with pytest.raises(AccessRefused) as refused:
        await deliver(house, reader, Caller(None, TAX), beyond)
    assert not any(canary in str(refused.value) for canary in CANARIES)
    await house.registry.aclose()


def test_personal_values_are_found_nowhere(
    house: House, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
    server_folder: Path, tmp_path: Path,
) -> None:  # fmt: skip
    small_city(house)
    with caplog.at_level(logging.DEBUG):
        whole_way(house)
    told = everything_said(house, tmp_path, caplog, capfd)
    assert files_with(["police_household"], told) != []
    assert files_with(CANARIES, told, house.settings.root, server_folder) == []


def everything_said(
    house: House, folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Path:
    """What was logged and printed, every table of the house's own databases, and the names of its files."""
    told = folder / "told"
    told.mkdir()
    output = capfd.readouterr()
    (told / "output").write_text(output.out + output.err)
    lines = [caplog.handler.format(record) for record in caplog.records if not record.name.startswith(NOT_OURS)]
    (told / "logged").write_text("\n".join(lines))
    for address in (house.databases.control, house.databases.lake):
        dump(address, told)
    write_names(house.settings.root, told / "names")
    return told


# ── what is sent wrongly ─────────────────────────────────────────────────────────────────────────────────────────────

HEADER = "公民身份号码,姓名,性别,出生日期,户籍地址,联系电话"
ROW = f"{GOOD},{NAME},1,1990-01-01,{STREET},{MOBILE}"
BROKEN_FILES = {
    "a row where the header should be": f"{ROW}\n{ROW}\n",
    "a row beside the header": f"{HEADER},{ROW}\n{ROW}\n",
    "one column twice": f"{HEADER},姓名\n{ROW},{NAME}\n",
    "a quote that never ends": f'{HEADER}\n{ROW}\n"{ROW}\n',
    "quotes that do not pair": f'{HEADER}\n"{NAME}"{GOOD}",{ROW}\n{ROW}\n',
    "a row cut in its middle": f"{HEADER}\n{ROW}\n{GOOD},{NAME}",
    "one row more than declared": f"{HEADER}\n{ROW}\n{ROW}\n{ROW}\n",
    "a header and nothing": f"{HEADER}\n",
}
BROKEN_BYTES = {name: text.encode() for name, text in BROKEN_FILES.items()} | {
    "a control byte": f"{HEADER}\n{ROW}\0{NAME}\n".encode(),
    "a damaged character": f"{HEADER}\n{ROW}\n".encode() + NAME.encode()[:-1] + b"\n",
    "cut in a character": f"{HEADER}\n{ROW}\n".encode() + NAME.encode()[:-1],
    "neither encoding": ROW.encode("gb18030") + b"\xff\xff\n",
    "half a workbook": b"PK\x03\x04" + ROW.encode(),
}


def push_wrongly(http: httpx.Client, token: dict[str, str]) -> Iterator[httpx.Response]:
    """The same people in files that cannot be read, and in places where something else belongs."""
    where = "/v1/resources/police_household/pushes"

    def sent(data: bytes, path: str = where, **changes: str) -> httpx.Response:
        said = {"x-batch": "1", "x-rows": "2", "x-digest": f"sm3={digest_hex(data)}", **token}
        return http.post(path, content=data, headers=said | {f"x-{name}": value for name, value in changes.items()})

    for data in BROKEN_BYTES.values():
        yield sent(data)
    data = f"{HEADER}\n{ROW}\n{ROW}\n".encode()
    for changes in ({"mode": GOOD}, {"digest": f"sm3={GOOD}"}, {"digest": GOOD}, {"filename": quote(f"../{NAME}.csv")},
                    {"batch": f"{MOBILE}x"}, {"rows": quote(NAME)}):  # fmt: skip
        yield sent(data, **changes)
    for path in (f"/v1/resources/{GOOD}/pushes", f"/v1/resources/{quote(NAME)}/pushes"):
        yield sent(data, path)
    sent(data, f"/v1/resources/m{MOBILE}/pushes")  # might be a resource: the answer may say the name, evidence may not


def ask_wrongly(http: httpx.Client, token: dict[str, str]) -> Iterator[httpx.Response]:
    """Their numbers in questions that cannot be understood, and in the address."""
    known = {"fields": ["name"], "purpose": "核定", "person": "税务经办"}
    bodies: list[object] = [
        known | {"keys": GOOD},
        known | {"keys": [GOOD] * 101},
        known | {"keys": [GOOD, {"id": BAD}]},
        known | {"keys": [GOOD * 50]},
        known | {"keys": [GOOD], "fields": []},
        known | {GOOD: NAME},
        [GOOD, NAME],
        GOOD,
    ]
    for body in bodies:
        yield http.post("/v1/query/base/population", json=body, headers=token)
    for raw in (f'{{"keys": ["{GOOD}"', f"keys={GOOD}", f'{{"keys": ["{NAME}"]'.encode("gb18030"), GOOD * 5000):
        yield http.post("/v1/query/base/population", content=raw, headers=token)
    good = known | {"keys": [resident(1)]}
    for path in (
        f"base/{GOOD}",
        f"pool/m{MOBILE}",
        f"base/m{MOBILE}",
        f"base/{quote(NAME)}",
        f"{GOOD}/population",
        f"{quote(NAME)}/population",
        f"base/population/{GOOD}",
    ):
        yield http.post(f"/v1/query/{path}", json=good, headers=token)
    for path in (f"query/base/population?key={GOOD}", f"pushes/{GOOD}", f"pushes/{GOOD}/row-errors", f"pushes/{GOOD}/report",
                 f"pushes/{GOOD}/data-docs", f"pushes/{quote(NAME)}", f"pushes?resource={GOOD}", f"pushes?limit={MOBILE}x",
                 f"people/{GOOD}"):  # fmt: skip
        yield http.get(f"/v1/{path}", headers=token)


def knock_wrongly(http: httpx.Client) -> Iterator[httpx.Response]:
    """Their numbers where a system says who it is."""
    for form in ({"grant_type": GOOD}, {"grant_type": "client_credentials", "client_id": GOOD, "client_secret": NAME}):
        yield http.post("/oauth/token", data=form)
    yield http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=(MOBILE, GOOD))
    yield http.get("/v1/pushes", headers={"authorization": f"Bearer {GOOD}"})
    yield http.get("/v1/pushes", headers={"authorization": f"Basic {GOOD}"})
    for path in (f"pushes/{quote(NAME)}", f"pushes/{GOOD}/report", f"pushes/m{MOBILE}"):
        yield http.get(f"/v1/{path}")
    yield http.post(f"/v1/query/base/{quote(NAME)}", json={"keys": [GOOD]})


def test_personal_values_in_what_is_refused_are_found_nowhere(
    house: House, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
    server_folder: Path, tmp_path: Path,
) -> None:  # fmt: skip
    small_city(house)
    lake.prepare(house)
    with caplog.at_level(logging.DEBUG), opened(house) as door:
        token = bearer(door.token(POLICE))
        answers = [*push_wrongly(door.http, token), *ask_wrongly(door.http, token), *knock_wrongly(door.http)]
    assert {answer.status_code for answer in answers} <= {400, 401, 403, 404, 405, 422}
    told = everything_said(house, tmp_path, caplog, capfd)
    for number, answer in enumerate(answers):
        (told / f"answer-{number:02}").write_bytes(f"{answer.status_code}\n{answer.headers}\n".encode() + answer.content)
    assert files_with(["parcel-refused"], told) != []
    assert files_with(CANARIES, told, house.settings.root, server_folder) == []


# ── the search itself ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "leak",
    [
        b"\x00\xff" + NAME.encode() + b"\x00",
        json.dumps({"event": NAME}).encode(),
        repr(NAME.encode()).encode(),
        STREET.encode("gb18030"),
        f"/v1/people/{quote(NAME)}".encode(),
    ],
)
def test_the_search_itself_finds_what_is_there(tmp_path: Path, leak: bytes) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "leak.log").write_bytes(leak)
    assert files_with(CANARIES, tmp_path) == [str(tmp_path / "deeper" / "leak.log")]


def test_the_search_itself_finds_what_a_table_holds(house: House, tmp_path: Path) -> None:
    with psycopg.connect(house.databases.lake.url()) as connection:
        connection.execute("CREATE TABLE leak (pickled bytea, number bigint, body json)")
        connection.execute("INSERT INTO leak VALUES (%s, %s, %s)", (NAME.encode(), int(MOBILE), json.dumps([STREET])))
    dump(house.databases.lake, tmp_path)
    leaks = [str(tmp_path / f"{house.databases.lake.database}.public.leak.{form}") for form in ("binary", "text")]
    assert files_with([NAME], tmp_path) == leaks
    assert files_with([MOBILE], tmp_path) == leaks[1:]
    assert leaks[0] in files_with([STREET], tmp_path)


def test_a_search_that_cannot_look_says_so(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="No such file"):
        files_with(CANARIES, tmp_path / "nowhere")
