"""The log: durable, one chain for all processes, and no change to it goes unnoticed or unlocated."""

import asyncio
import itertools
import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from exchange import access_log
from exchange.access_log import AccessEntry
from exchange.callers import Caller
from exchange.errors import Unavailable, WrongState
from exchange.house import House
from exchange.settings import Settings
from tests import make
from tests.delivery.kit import LI, log

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def entry(**more: Any) -> AccessEntry:
    ordinary: dict[str, Any] = {
        "department": make.CIVIL,
        "client": "c-1",
        "person": "经办人甲",
        "purpose": "婚姻登记核验",
        "action": "query",
        "target": "base:population",
        "version": "B1",
        "fields": ("name",),
        "subject_key": LI,
        "answer_digest": "d" * 64,
        "decision": "answered",
        "request_id": "R1",
    }
    return AccessEntry(**(ordinary | more))


def tampered(house: House, *statements: str) -> None:
    """What the owner of the database server can do: no trigger, no permission stands in the way."""
    admin, control = house.databases.admin or server_admin(house), house.databases.control
    with psycopg.connect(admin.url().rsplit("/", 1)[0] + "/" + control.database) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(sql.SQL(statement))  # type: ignore[arg-type]


_SERVERS: dict[int, Any] = {}


def server_admin(house: House) -> Any:
    return _SERVERS[house.databases.control.port]


@pytest.fixture(autouse=True)
def _know_the_server(server: Any) -> None:
    _SERVERS[server.control.port] = server.admin


def test_a_record_holds_who_asked_what_and_why_and_not_about_whom(house: House) -> None:
    assert access_log.append(house, entry()) == 1
    assert log(house) == [
        {
            "seq": 1,
            "subject": house.seal.subject(LI),
            "retention": "share_record",
            "department": make.CIVIL,
            "client": "c-1",
            "person": "经办人甲",
            "purpose": "婚姻登记核验",
            "action": "query",
            "target": "base:population",
            "version": "B1",
            "fields": ["name"],
            "answer": "d" * 64,
            "decision": "answered",
            "reason": None,
            "request": "R1",
        }
    ]
    assert access_log.verify(house).as_dict() == {
        "whole": True,
        "first_broken": None,
        "records": 1,
        "head": 1,
        "breaks": (),
        "purged": (),
        "witness": 1,
    }


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (f"查询 {LI} 的婚姻", "查询 … 的婚姻"),
        ("企业 914403001922038216 的年报", "企业 … 的年报"),
        ("电话13900001234核实", "电话…核实"),
        ("+86 139-0000-1234, 8613900001234, 139 0000 1234", "+…, …, …"),
        ("１３９００００１２３４", "…"),
        (f"{LI[:6]} {LI[6:14]} {LI[14:]} 与 {LI[:6]}-{LI[6:14]}-{LI[14:]}", "… 与 …"),
        ("41080219500102001 X 号", "… 号"),
        ("91 440300 192203821 6", "…"),
        ("查" * 195 + LI, "查" * 195),
        ("授权 G261122-1234567890 已于 2026-11-21 到期", "授权 G261122-1234567890 已于 2026-11-21 到期"),
        ("一次 1 至 100 个，批次 20261122", "一次 1 至 100 个，批次 20261122"),
        ("a\x00b", "a\ufffdb"),
        ("\ud800", "?"),
        ("长" * 300, "长" * 200),
        ("", ""),
        (None, None),
    ],
)
def test_what_a_caller_asserts_is_kept_short_storable_and_without_numbers_of_people(
    house: House, said: str | None, kept: str | None
) -> None:
    access_log.append(house, entry(purpose=said))
    assert log(house)[0]["purpose"] == kept
    assert access_log.verify(house).whole


def test_waiting_entries_share_commits_and_keep_one_chain(house: House) -> None:
    async def many() -> list[int]:
        try:
            return await asyncio.gather(
                *(access_log.aappend(house, entry(request_id=f"R{n}"), entry(decision="not_found")) for n in range(50))
            )
        finally:
            await house.registry.aclose()

    assert sorted(asyncio.run(many())) == list(range(2, 101, 2))
    with house.registry.session() as session:
        commits = session.connection().exec_driver_sql("SELECT count(DISTINCT xmin::text) FROM access_log").scalar_one()
    assert commits < 50
    assert access_log.verify(house).records == 100
    assert access_log.verify(house).whole


def test_a_caller_that_goes_away_still_leaves_its_record(house: House) -> None:
    async def leave() -> None:
        waiting = [asyncio.create_task(access_log.aappend(house, entry(request_id=f"R{n}"))) for n in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        assert await asyncio.gather(*waiting[1:]) == [2, 3]
        await house.registry.aclose()

    asyncio.run(leave())
    assert [record["request"] for record in log(house)] == ["R0", "R1", "R2"]


def _append_many(settings: Settings, name: str, count: int, ready: Any) -> None:
    house = House.open(settings)
    ready.wait(120)

    async def run() -> None:
        await asyncio.gather(*(access_log.aappend(house, entry(client=f"{name}{n}")) for n in range(count)))
        for n in range(20):  # and one by one, so that commits of the processes take turns
            await access_log.aappend(house, entry(client=f"{name}-{n}"))
        await house.registry.aclose()

    asyncio.run(run())
    for n in range(10):
        access_log.append(house, entry(client=f"{name}={n}"))
    house.registry.close()


def test_processes_appending_at_once_keep_one_whole_chain(house: House, settings: Settings) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Barrier(3)
    processes = [spawn.Process(target=_append_many, args=(settings, name, 200, ready)) for name in ("a", "b", "c")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    verification = access_log.verify(house)
    assert (verification.whole, verification.records, verification.head) == (True, 690, 690)
    assert len({record["client"] for record in log(house)}) == 690
    turns = [record["client"][0] for record in log(house)]
    assert sum(a != b for a, b in itertools.pairwise(turns)) > 2, "the processes never took turns"


def test_nothing_is_answered_when_the_evidence_can_not_be_written(house: House) -> None:
    tampered(house, "ALTER TABLE access_log RENAME TO gone")
    message = "留痕无法写入，因此不能答复，请稍后再试 / the evidence could not be written, so nothing may be answered"
    with pytest.raises(Unavailable, match=message):
        access_log.append(house, entry())

    async def ask() -> None:
        try:
            await access_log.aappend(house, entry())
        finally:
            await house.registry.aclose()

    with pytest.raises(Unavailable, match=message):
        asyncio.run(ask())


@pytest.mark.parametrize("statement", ["UPDATE access_log SET at = now()", "DELETE FROM access_log", "TRUNCATE access_log"])
def test_the_service_itself_can_not_change_the_log(house: House, statement: str) -> None:
    access_log.append(house, entry())
    with (
        pytest.raises(psycopg.errors.RaiseException, match="access_log is append-only"),
        psycopg.connect(house.databases.control.url()) as connection,
    ):
        connection.execute(sql.SQL(statement))  # type: ignore[arg-type]


ROW_7 = "SELECT {seq}, at, subject, retention, body, body_digest, previous, hash, purged_by FROM access_log WHERE seq = 7"
# what the server's owner does -> (first broken record, kind, words)
TAMPERINGS: dict[str, tuple[list[str], int, str, str]] = {
    "a body changed": (
        ["UPDATE access_log SET body = jsonb_set(body, '{person}', '\"别人\"') WHERE seq = 4"],
        4,
        "body",
        "第 4 条：正文被改动",
    ),
    "a body changed with its digest": (
        [
            "UPDATE access_log SET body = body - 'person', body_digest = encode(sha256(body::text::bytea), 'hex') WHERE seq = 4"
        ],
        4,
        "altered",
        "第 4 条：内容被改动或非本平台所写",
    ),
    "another subject": (
        ["UPDATE access_log SET subject = repeat('0', 64) WHERE seq = 5"],
        5,
        "altered",
        "第 5 条：内容被改动",
    ),
    "a time beyond every calendar": (
        ["UPDATE access_log SET at = 'infinity' WHERE seq = 5"],
        5,
        "altered",
        "内容被改动",
    ),
    "a time before every calendar": (
        ["UPDATE access_log SET at = '0044-03-15 BC' WHERE seq = 5"],
        5,
        "altered",
        "内容被改动",
    ),
    "a forged purge that names no moment": (
        [
            'UPDATE access_log SET retention = \'permanent\', body = \'{"action": "purge", "class": "share_record", '
            '"before": "x", "rule": "r", "bodies": 1}\' WHERE seq = 5',
            "UPDATE access_log SET body = NULL, purged_by = 5 WHERE seq = 4",
        ],
        4,
        "purge",
        "第 4 条：正文被清除而无相符的清除记录",
    ),
    "another time": (
        ["UPDATE access_log SET at = at - interval '1 microsecond' WHERE seq = 5"],
        5,
        "altered",
        "内容被改动",
    ),
    "another class": (["UPDATE access_log SET retention = 'network_log' WHERE seq = 5"], 5, "altered", "内容被改动"),
    "a hash bit flipped": (
        ["UPDATE access_log SET hash = translate(hash, '0123456789abcdef', '123456789abcdef0') WHERE seq = 9"],
        9,
        "altered",
        "第 9 条",
    ),
    "the first removed": (["DELETE FROM access_log WHERE seq = 1"], 1, "missing", "第 1 条：第 1 至 1 条缺失"),
    "two in the middle removed": (["DELETE FROM access_log WHERE seq IN (5, 6)"], 5, "missing", "第 5 至 6 条缺失"),
    "one removed and the rest renumbered": (
        [
            "DELETE FROM access_log WHERE seq = 5",
            *(f"UPDATE access_log SET seq = {n - 1} WHERE seq = {n}" for n in range(6, 11)),
        ],
        5,
        "order",
        "第 5 条：与前一条不相接",
    ),
    "a copy inserted in the middle": (
        [
            *(f"UPDATE access_log SET seq = {n + 1} WHERE seq = {n}" for n in range(10, 7, -1)),
            f"INSERT INTO access_log {ROW_7.format(seq=8)}",
        ],
        8,
        "order",
        "第 8 条：与前一条不相接",
    ),
    "a copy before the first": (
        [f"INSERT INTO access_log {ROW_7.format(seq=0)}"],
        0,
        "inserted",
        "第 0 条：不属于本链的位置",
    ),
    "a copy after the last": ([f"INSERT INTO access_log {ROW_7.format(seq=11)}"], 11, "order", "第 11 条"),
    "two exchanged": (
        [
            "UPDATE access_log SET seq = -1 WHERE seq = 3",
            "UPDATE access_log SET seq = 3 WHERE seq = 4",
            "UPDATE access_log SET seq = 4 WHERE seq = -1",
        ],
        3,
        "order",
        "第 3 条：与前一条不相接",
    ),
    "the tail cut off": (["DELETE FROM access_log WHERE seq > 7"], 8, "missing", "末尾第 8 至 10 条缺失"),
    "the tail cut off, the head put back": (
        [
            "DELETE FROM access_log WHERE seq > 7",
            "UPDATE access_head SET seq = 7, hash = (SELECT hash FROM access_log WHERE seq = 7)",
        ],
        7,
        "head",
        "第 7 条：链尾记录被改动",
    ),
    "the tail cut off, the head removed": (
        ["DELETE FROM access_log WHERE seq > 7", "DELETE FROM access_head"],
        7,
        "head",
        "链尾记录不见了",
    ),
    "everything removed": (
        ["DELETE FROM access_log", "DELETE FROM access_head"],
        1,
        "anchor",
        "锚中有而日志中无（锚：第 10 条）",
    ),
    "a body emptied": (
        ["UPDATE access_log SET body = NULL, purged_by = 10 WHERE seq = 6"],
        6,
        "purge",
        "第 6 条：正文被清除而无相符的清除记录",
    ),
    "a body said to be purged": (["UPDATE access_log SET purged_by = 3 WHERE seq = 2"], 2, "purge", "标为已清除而正文仍在"),
    "the head altered": (["UPDATE access_head SET mac = repeat('0', 64)"], 10, "head", "第 10 条：链尾记录被改动"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_every_tampering_is_found_and_located(house: House, name: str) -> None:
    statements, seq, kind, words = TAMPERINGS[name]
    ten(house)
    assert access_log.verify(house).whole
    tampered(house, *statements)
    verification = access_log.verify(house)
    assert not verification.whole
    assert verification.first_broken == seq
    first = next(found for found in verification.breaks if found.kind == kind)
    assert (first.seq, words in first.zh, first.en.startswith(f"record {seq}: ")) == (seq, True, True)


def ten(house: House) -> None:
    for n in range(1, 11):
        access_log.append(house, entry(request_id=f"R{n}"))


def saved_head(house: House) -> list[str]:
    """What an attacker saw earlier: the head, with a mac that was right then."""
    with house.registry.session() as session:
        seq, hash_, mac = session.connection().exec_driver_sql("SELECT seq, hash, mac FROM access_head").one()
    return [
        f"DELETE FROM access_log WHERE seq > {seq}",
        f"UPDATE access_head SET seq = {seq}, hash = '{hash_}', mac = '{mac}'",
    ]


def test_a_log_put_back_to_an_earlier_day_is_found_by_the_anchor(house: House) -> None:
    ten(house)
    earlier = saved_head(house)
    ten(house)
    tampered(house, *earlier)
    verification = access_log.verify(house)
    assert [(found.seq, found.kind, found.zh) for found in verification.breaks] == [
        (11, "anchor", "第 11 条：锚中有而日志中无（锚：第 20 条）")
    ]


def test_an_earlier_day_is_still_found_when_the_log_has_grown_past_it(house: House) -> None:
    """The log goes on, since a service that stops is no better; what contradicted it is kept."""
    ten(house)
    earlier = saved_head(house)
    ten(house)
    tampered(house, *earlier)
    ten(house)
    ten(house)
    verification = access_log.verify(house)
    assert (verification.records, verification.head) == (30, 30)
    assert [(found.seq, found.kind, found.zh) for found in verification.breaks] == [
        (20, "anchor", "第 20 条：与锚不同（锚：第 20 条）")
    ]


def removed_anchor(house: House) -> None:
    (house.settings.root / "log" / "anchor").unlink()


def altered_anchor(house: House) -> None:
    path = house.settings.root / "log" / "anchor"
    path.write_bytes(path.read_bytes().replace(b"0010", b"0004", 1))


@pytest.mark.parametrize("damage", [removed_anchor, altered_anchor])
@pytest.mark.parametrize("goes_on", [False, True])
def test_a_damaged_anchor_is_found_before_and_after_the_log_goes_on(
    house: House, damage: Callable[[House], None], goes_on: bool
) -> None:
    ten(house)
    damage(house)
    if goes_on:
        ten(house)
    verification = access_log.verify(house)
    words = "写入时链尾或锚不相符" if goes_on else "锚文件缺失或被改动"
    assert [(found.seq, found.kind) for found in verification.breaks] == [(10, "anchor")]
    assert words in verification.breaks[0].zh


def test_a_log_moved_to_another_master_key_does_not_verify(house: House) -> None:
    ten(house)
    other = House(house.settings, type(house.seal)(b"\x00" * 32), house.databases, house.registry)
    assert access_log.verify(other).first_broken == 1


def test_a_log_that_was_wiped_and_made_anew_is_found_by_its_witness_beside_the_key(house: House) -> None:
    ten(house)
    witness = house.settings.key_folder / "log.witness"
    assert (access_log.verify(house).witness, witness.stat().st_mode & 0o777) == (10, 0o600)
    tampered(house, "TRUNCATE access_log, access_head")
    (house.settings.root / "log" / "anchor").unlink()
    for _ in range(2):  # an empty log, then a new one that is longer than the old
        verification = access_log.verify(house)
        assert [found.kind for found in verification.breaks] == ["witness"]
        assert verification.witness == 10, "a log that is not whole gets no new witness"
        assert "上次验证完整时日志到第 10 条，现在没有这一条或已不同：日志被清空、重建，或恢复自更早的备份" in (
            verification.breaks[0].zh
        )
        assert "the log was wiped, made anew, or restored from an older backup" in verification.breaks[0].en
        ten(house)
        ten(house)


def test_an_altered_witness_is_told_and_a_missing_one_begins_anew(house: House) -> None:
    ten(house)
    assert access_log.verify(house).witness == 10
    witness = house.settings.key_folder / "log.witness"
    witness.write_bytes(witness.read_bytes().replace(b"0010", b"0002", 1))
    verification = access_log.verify(house)
    assert [(found.kind, found.zh) for found in verification.breaks] == [("witness", "第 10 条：见证文件被改动")]
    witness.unlink()
    assert (access_log.verify(house).whole, access_log.verify(house).witness) == (True, 10)


def aged(house: House) -> None:
    """Old and new records of both classes."""
    for days, retention in [(1200, "share_record"), (1100, "network_log"), (200, "network_log"), (1000, "share_record")]:
        access_log.append(house, entry(retention=retention), now=NOW - timedelta(days=days))
    access_log.append(house, entry())


def test_a_purge_empties_old_bodies_and_verification_says_under_which_rule(house: House) -> None:
    aged(house)
    before = [(record["seq"], record["subject"]) for record in log(house)]
    assert access_log.purge(house, NOW) == {"share_record": 1, "network_log": 1}
    assert [(record["seq"], record["subject"]) for record in log(house)][:5] == before
    assert [record["seq"] for record in log(house) if "action" not in record] == [1, 2]
    verification = access_log.verify(house)
    assert (verification.whole, verification.records) == (True, 7)
    assert [(p.seq, p.retention, p.before[:10], p.bodies, p.rule) for p in verification.purged] == [
        (
            6,
            "share_record",
            "2023-11-22",
            1,
            "《政务数据共享条例》第二十九条、《网络数据安全管理条例》第十二条：不少于三年；本平台保存 36 个月",
        ),
        (7, "network_log", "2023-11-22", 1, "《网络安全法》第二十三条：不少于六个月；本平台保存 36 个月"),
    ]
    assert access_log.purge(house, NOW) == {"share_record": 0, "network_log": 0}


def test_a_purge_by_a_wrong_clock_is_refused_by_the_database(house: House) -> None:
    aged(house)
    with pytest.raises(WrongState, match="share_record）中有不满 36 个月的记录，依法不得清除") as refused:
        access_log.purge(house, NOW + timedelta(days=400))
    assert "some share_record records are younger than the 36 months the law asks for" in refused.value.en
    assert all("action" in record for record in log(house))
    assert access_log.verify(house).whole


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access_log SET body = NULL, purged_by = 6 WHERE seq = 5",  # a body the rule does not cover
        "UPDATE access_log SET body = NULL, purged_by = 7 WHERE seq = 4",  # … of the other class
        "UPDATE access_log SET body = NULL, purged_by = NULL WHERE seq = 4",
        "UPDATE access_log SET body = jsonb_set(body, '{before}', '\"2099-01-01T00:00:00+00:00\"') WHERE seq = 6",
    ],
)
def test_a_purge_is_no_cover_for_other_removals(house: House, statement: str) -> None:
    aged(house)
    access_log.purge(house, NOW)
    tampered(house, statement)
    assert not access_log.verify(house).whole


def test_who_saw_a_person_and_asking_is_recorded(house: House) -> None:
    access_log.append(house, entry(), entry(subject_key=make.resident(9)), entry(decision="refused", reason="no-grant: 无"))
    auditor = Caller(None, "", "审计员")
    seen = access_log.who_saw(house, f" {LI.lower()} ", auditor)
    assert [(one["seq"], one["department"], one["person"], one["decision"], one["reason"]) for one in seen] == [
        (1, make.CIVIL, "经办人甲", "answered", None),
        (3, make.CIVIL, "经办人甲", "refused", "no-grant: 无"),
    ]
    assert all(one["at"].endswith("+08:00") for one in seen)
    again = access_log.who_saw(house, LI, auditor)
    assert [(one["action"], one["person"], one["department"]) for one in again][2:] == [("who-saw", "审计员", None)]
    assert access_log.who_saw(house, make.resident(77), auditor) == []
    assert log(house)[-1]["decision"] == "not_found"
