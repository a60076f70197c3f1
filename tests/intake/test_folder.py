"""The watched folder, on a real one: pairs become receipts or refusals, and nothing leads out of it."""

import ctypes
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from exchange.errors import CountMismatch
from exchange.house import House
from exchange.intake import folder, landing, pushes
from exchange.intake.folder import Taken
from infra import watcher
from tests.dying import dying
from tests.intake.kit import HEALTH, POLICE, TWO, land, publish, refusals, table, world

RAW = TWO.encode()


def inbox(house: House, department: str = POLICE.department) -> Path:
    path = house.settings.inbox_folder / department
    path.mkdir(parents=True, exist_ok=True)
    return path


def manifest(path: Path, data: bytes = RAW, **changes: object) -> Path:
    """Write a true manifest beside a file, with changes; None leaves a word out. Already settled."""
    said: dict[str, Any] = {
        "resource": "household",
        "batch": 1,
        "mode": "full",
        "rows": 2,
        "digest": f"sha256={hashlib.sha256(data).hexdigest()}",
        **changes,
    }
    return settled(path, json.dumps({name: value for name, value in said.items() if value is not None}))


def settled(path: Path, text: str) -> Path:
    beside = path.with_name(path.name + ".manifest.json")
    beside.write_text(text)
    os.utime(beside, (time.time() - 60,) * 2)
    return beside


def lay(where: Path, name: str = "户籍.csv", data: bytes = RAW, **changes: object) -> Path:
    path = where / name
    path.write_bytes(data)
    manifest(path, data, **changes)
    return path


def lying(where: Path) -> list[str]:
    return sorted(path.name for path in where.iterdir() if path.name != ".taking")


def refused(path: Path) -> dict[str, Any]:
    problem: dict[str, Any] = json.loads(path.with_name(path.name + ".refused.json").read_text())
    return problem


def test_a_pair_becomes_a_receipt_and_the_plain_file_is_gone(house: House) -> None:
    publish(house)
    where = inbox(house)
    lay(where)
    (taken,) = folder.take(house)
    (receipt,) = pushes.list_pushes(house)
    assert taken == Taken(POLICE.department, "户籍.csv", receipt=receipt.id)
    assert lying(where) == ["户籍.csv.receipt.json"]
    assert json.loads((where / "户籍.csv.receipt.json").read_text()) == receipt.as_dict()
    assert table(house, receipt.id, "_row, name") == [(1, "甲"), (2, "乙")]
    assert folder.take(house) == []

    lay(where)  # laid down once more: the same receipt
    assert folder.take(house) == [taken]
    assert pushes.list_pushes(house) == [receipt]


def test_nothing_is_taken_before_its_manifest(house: House) -> None:
    publish(house)
    assert folder.take(house) == [], "no inbox at all"
    where = inbox(house)
    (where / "a.csv").write_bytes(RAW)
    (house.settings.inbox_folder / "a file beside the folders").touch()
    assert (folder.take(house), lying(where)) == ([], ["a.csv"])


def test_batches_land_in_the_order_of_their_manifests(house: House) -> None:
    publish(house)
    where = inbox(house)
    for age, (name, batch) in enumerate([("z.csv", 1), ("a.csv", 2)]):
        path = lay(where, name, batch=batch)
        os.utime(path.with_name(f"{name}.manifest.json"), (1_000_000 + age,) * 2)
    assert [one.file for one in folder.take(house)] == ["z.csv", "a.csv"]
    assert sorted(receipt.batch for receipt in pushes.list_pushes(house)) == [1, 2]


@pytest.mark.parametrize(
    ("changes", "code", "zh"),
    [
        ({"rows": 3}, "count-mismatch", "声明 3 行，实际收到 2 行"),
        ({"digest": "sha256=" + "0" * 64}, "digest-mismatch", "摘要不符"),
        ({"batch": None}, "parcel-refused", "batch 应为整数"),
        ({"batch": True}, "parcel-refused", "batch 应为整数"),
        ({"resource": ["household"]}, "parcel-refused", "缺少 resource"),
        ({"resource": "../../keys"}, "not-found", "目录中没有这个资源"),
    ],
)
def test_a_refusal_lies_in_place_of_the_manifest_and_the_file_stays_to_be_mended(
    house: House, changes: dict[str, object], code: str, zh: str
) -> None:
    publish(house)
    where = inbox(house)
    path = lay(where, "a.csv", **changes)
    before = world(house)
    assert folder.take(house) == [Taken(POLICE.department, "a.csv", refused=code)]
    assert (lying(where), world(house)) == (["a.csv", "a.csv.refused.json"], before)
    problem = refused(path)
    assert problem["code"] == code
    assert zh in problem["detail"]
    assert problem["detail_en"]
    assert [told[2] for told in refusals(house)] == [code]
    assert folder.take(house) == [], "a refusal is told once"

    manifest(path)
    assert [one.refused for one in folder.take(house)] == [None]
    assert lying(where) == ["a.csv.receipt.json"]


def test_another_departments_resource(house: House) -> None:
    publish(house)
    path = lay(inbox(house, HEALTH.department), "a.csv")
    assert [one.refused for one in folder.take(house)] == ["access-refused"]
    assert "不能推送" in refused(path)["detail"]
    assert refusals(house) == [(HEALTH.department, "household", "access-refused")]


def test_a_folder_of_no_department(house: House) -> None:
    publish(house)
    path = lay(inbox(house, "张三"), "a.csv")
    assert [one.refused for one in folder.take(house)] == ["not-found"]
    assert refused(path)["detail"] == "收件目录下的文件夹应以目录中的部门代码命名"
    assert refusals(house) == [], "the folder's name may be anything, and is not recorded"


@pytest.mark.parametrize("text", ["{", "[1]", "\x00", "[" * 60_000, json.dumps({"x": "y" * 70_000})])
def test_a_manifest_that_is_no_json_object(house: House, text: str) -> None:
    publish(house)
    path = inbox(house) / "a.csv"
    path.write_bytes(RAW)
    settled(path, text)
    assert [one.refused for one in folder.take(house)] == ["parcel-refused"]
    assert refused(path)["detail"] == "清单不是 JSON 对象，或超过 65536 字节"


def test_half_a_manifest_may_still_be_on_its_way(house: House) -> None:
    publish(house)
    path = inbox(house) / "a.csv"
    path.write_bytes(RAW)
    (path.with_name("a.csv.manifest.json")).write_text('{"resource": "hou')
    assert folder.take(house) == []
    manifest(path)
    assert [one.refused for one in folder.take(house)] == [None]


def test_a_manifest_without_its_file(house: House) -> None:
    publish(house)
    path = inbox(house) / "a.csv"
    manifest(path)
    assert [one.refused for one in folder.take(house)] == ["not-found"]
    assert refused(path)["detail"] == "清单旁没有同名的数据文件，请先放数据文件再放清单"
    assert world(house) == ([], [])


def test_killed_between_the_plain_file_and_the_manifest_the_next_look_ends_it(house: House, tmp_path: Path) -> None:
    publish(house)
    where = inbox(house)
    receipt = land(house, tmp_path, RAW, rows=2)
    manifest(where / "a.csv")
    assert folder.take(house) == [Taken(POLICE.department, "a.csv", receipt=receipt.id)]
    assert lying(where) == ["a.csv.receipt.json"]


def test_a_file_that_still_grows_is_told_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(house)
    path = lay(inbox(house), "a.csv", data=RAW)
    honest = landing.Landing.write

    def slow(self: landing.Landing, data: bytes) -> None:
        honest(self, data)
        if path.stat().st_size < 2 * len(RAW):  # its writer is not done
            with path.open("ab") as more:
                more.write(RAW)

    monkeypatch.setattr(landing.Landing, "write", slow)
    assert [one.refused for one in folder.take(house)] == ["digest-mismatch"]
    assert "文件在读取时仍在变化：请写完文件再放清单" in refused(path)["detail"]


@pytest.mark.parametrize("name", ["a:b.csv", "a\nb.csv", "a\\b.csv"])
def test_a_name_that_is_no_plain_name(house: House, name: str) -> None:
    publish(house)
    path = lay(inbox(house), name)
    assert [one.refused for one in folder.take(house)] == ["unsafe-name"]
    assert path.exists()


def test_links_folders_and_pipes_are_never_followed_nor_waited_for(house: House, tmp_path: Path) -> None:
    publish(house)
    where = inbox(house)
    outside = tmp_path / "secret.csv"
    outside.write_bytes(RAW)
    (where / "link.csv").symlink_to(outside)
    (where / "folder.csv").mkdir()
    os.mkfifo(where / "pipe.csv")
    for name in ("link.csv", "folder.csv", "pipe.csv"):
        manifest(where / name)
    (where / "b.csv").write_bytes(RAW)
    (tmp_path / "elsewhere.json").write_text("{}")
    (where / "b.csv.manifest.json").symlink_to(tmp_path / "elsewhere.json")
    (house.settings.inbox_folder / HEALTH.department).symlink_to(where)
    assert sorted((one.file, one.refused) for one in folder.take(house)) == [
        (name, "not-a-file") for name in ("b.csv", "folder.csv", "link.csv", "pipe.csv")
    ]
    assert refused(where / "link.csv")["detail_en"] == "not a plain file (no links, folders or pipes)"
    assert outside.read_bytes() == RAW
    assert (tmp_path / "elsewhere.json").read_text() == "{}"
    assert world(house) == ([], [])


def test_files_and_folders_that_we_may_not_use_hold_nobody_up(house: House) -> None:
    publish(house)
    where = inbox(house)
    closed = lay(where, "a.csv")
    closed.chmod(0)
    lay(where, "b.csv")
    theirs = inbox(house, HEALTH.department)
    lay(theirs, "c.csv")
    theirs.chmod(0o500)
    with without_privilege():
        taken = folder.take(house)
    assert {(one.department, one.file, one.refused) for one in taken} == {
        (POLICE.department, "a.csv", "not-a-file"),
        (POLICE.department, "b.csv", None),
        (HEALTH.department, "", "folder: EACCES"),
    }
    assert refused(closed)["detail"] == "没有读取文件的权限，请修改文件权限"


@contextmanager
def without_privilege() -> Iterator[None]:
    """This thread may read and write only what modes allow, root or not (capabilities 1 and 2 put aside)."""
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread
    had = (ctypes.c_uint32 * 6)()
    assert libc.capget(head, had) == 0
    less = (ctypes.c_uint32 * 6)(*had)
    less[0] &= ~0b110
    assert libc.capset(head, less) == 0
    try:
        yield
    finally:
        assert libc.capset(head, had) == 0


def test_a_refusal_of_one_keeps_nobody_else_from_landing_and_a_fault_neither(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(house)
    where = inbox(house)
    lay(where, "a.csv", rows=9)
    lay(where, "b.csv", batch=2)
    lay(where, "c.csv", batch=3)
    honest = landing.begin

    def stumbling(*args: Any, **named: Any) -> landing.Landing:
        if args[2].batch == 2:
            raise ZeroDivisionError
        return honest(*args, **named)

    monkeypatch.setattr(landing, "begin", stumbling)
    assert sorted((one.file, one.refused) for one in folder.take(house)) == [
        ("a.csv", CountMismatch.code),
        ("c.csv", None),
    ]
    assert "b.csv.manifest.json" in lying(where), "it waits for the next look"


def test_the_watcher_looks_by_itself_until_told_to_stop(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(house)
    where = inbox(house)
    monkeypatch.setattr(watcher, "EVERY", 0.05)
    stop = threading.Event()
    thread = threading.Thread(target=watcher.watch, args=(house, stop))
    thread.start()
    lay(where)
    for _ in range(400):
        if lying(where) == ["户籍.csv.receipt.json"]:
            break
        time.sleep(0.05)
    stop.set()
    thread.join()
    assert [receipt.rows for receipt in pushes.list_pushes(house)] == [2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_every_line_the_next_look_ends_with_the_same_receipt(house: House) -> None:
    publish(house)
    where = inbox(house)
    with dying(house) as other:
        for batch in count(1):
            lay(where, "a.csv", batch=batch)
            death = other.dies("take")
            before = {receipt.batch: receipt for receipt in pushes.list_pushes(house, limit=10**6)}
            folder.take(house)
            (receipt,) = [one for one in pushes.list_pushes(house, limit=10**6) if one.batch == batch]
            assert before.get(batch, receipt) == receipt, death
            assert lying(where) == ["a.csv.receipt.json"], death
            assert json.loads((where / "a.csv.receipt.json").read_text()) == receipt.as_dict(), death
            if death is None:
                break
    assert len(other.deaths["take"]) == batch - 1 > 40, "the steps of a look are no longer seen"
