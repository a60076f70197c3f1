"""Push by hand: an officer with a browser, or whatever sends what a browser would."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import ByteSize

from exchange import clients
from exchange.callers import Caller
from exchange.house import House
from exchange.intake import byhand, pushes, uploads
from exchange.intake.tables import read_landed
from exchange.seal import digest_hex
from quality import gate
from tests import make
from tests.api.kit import Door, opened
from tests.delivery.kit import log
from tests.intake.kit import refusals, world

HEADER = "公民身份号码,姓名,性别,出生日期,更新时间\n"
ROWS = "".join(f"{make.resident(n)},甲{n},1,1950-01-0{n},2026-01-01 08:00:00\n" for n in (1, 2))
RAW = (HEADER + ROWS).encode()
BAD = (HEADER + ROWS + "410802195001020000,丙,1,1950-01-02,2026-01-01 08:00:00\n").encode()


@pytest.fixture
def door(house: House) -> Iterator[Door]:
    make.small_city(house)
    with opened(house) as door:
        yield door


@pytest.fixture(autouse=True)
def browsers() -> Iterator[list[httpx.Client]]:
    """Every browser of a test, closed at its end."""
    yield BROWSERS
    while BROWSERS:
        BROWSERS.pop().close()


BROWSERS: list[httpx.Client] = []


def browser(door: Door, *, follow: bool = True) -> httpx.Client:
    one = httpx.Client(base_url=door.http.base_url, trust_env=False, timeout=60, follow_redirects=follow)
    BROWSERS.append(one)
    return one


class Officer:
    """Reads pages and sends their forms back, as a browser does."""

    def __init__(self, door: Door, department: str = make.POLICE) -> None:
        self.door = door
        self.http = browser(door)
        self.client_id, secret = clients.create(door.house, department, "经办人")
        self.page = self.http.post("/form/sign-in", data={"client_id": self.client_id, "client_secret": secret})

    @property
    def csrf(self) -> str:
        return re.findall(r'name="csrf" value="([^"]+)"', self.page.text)[0]

    def upload(self, data: bytes = RAW, resource: str = "police_household", name: str = "户籍.csv", **fields: str) -> None:
        said = {"csrf": self.csrf, "resource": resource, **fields}
        self.page = self.http.post("/form/uploads", data=said, files={"file": (name, data, "text/csv")})

    def press(self, button: str) -> None:
        where = re.findall(rf'action="(/form/uploads/[^"]+/{button})"', self.page.text)[0]
        self.page = self.http.post(where, data={"csrf": self.csrf})

    def shown(self, of: str) -> str:
        """The text of a cell."""
        return re.findall(rf'id="{of}">([^<]*)<', self.page.text)[0]

    @property
    def told(self) -> str:
        """The message of a refusal."""
        return re.findall(r'role="alert"><p>(.*?)</p>', self.page.text, re.DOTALL)[0]


def test_from_signing_in_to_the_verdict(door: Door) -> None:
    officer = Officer(door)
    assert "市公安局" in officer.page.text
    assert re.findall(r'<option value="([^"]+)"', officer.page.text) == ["police_household"]

    officer.upload(BAD)
    assert (officer.page.status_code, officer.page.history[0].status_code) == (200, 303)
    assert (officer.shown("batch"), officer.shown("rows")) == ("1", "3")
    assert officer.shown("digest") == f"sm3={digest_hex(BAD)}"
    assert world(door.house) == ([], []), "nothing is landed before the confirmation"
    kept = b"".join(path.read_bytes() for path in door.house.settings.folder("uploads").rglob("*") if path.is_file())
    assert b"410802" not in kept

    officer.press("confirm")
    (receipt,) = pushes.list_pushes(door.house)
    assert officer.page.url.path == f"/form/pushes/{receipt.id}"
    assert '<meta http-equiv="refresh" content="5">' in officer.page.text
    assert b"".join(read_landed(door.house, receipt.id)) == BAD
    assert (receipt.department, receipt.batch, receipt.rows) == (make.POLICE, 1, 3)

    gate.check(door.house, receipt.id)
    officer.page = officer.http.get(officer.page.url)
    assert officer.shown("verdict") == "退回 rejected"
    assert "http-equiv" not in officer.page.text
    report, errors = (
        officer.http.get(link) for link in re.findall(r'href="(/form/pushes/[^"]+/[a-z-]+)"', officer.page.text)
    )
    assert (report.status_code, "质量报告" in report.text) == (200, True)
    assert officer.http.get(f"/form/pushes/{receipt.id}/data-docs").status_code == 200
    assert "410802195001020000" in errors.content.decode("utf-8-sig")
    assert receipt.id in officer.http.get("/form").text


def test_confirmed_twice_is_one_push(door: Door) -> None:
    officer = Officer(door)
    officer.upload()
    waiting = officer.page
    officer.press("confirm")
    officer.page = waiting
    officer.press("confirm")
    assert len(pushes.list_pushes(door.house)) == 1
    assert officer.http.get(waiting.url).url.path.startswith("/form/pushes/P")

    officer.page = officer.http.get("/form")
    officer.upload()
    assert officer.shown("batch") == "2"


def test_cancelled_or_expired_is_gone(door: Door) -> None:
    officer = Officer(door)
    officer.upload()
    where = officer.page.url
    officer.press("cancel")
    assert officer.page.url.path == "/form"
    assert officer.http.get(where).status_code == 404
    officer.upload()
    late = datetime.now(UTC) + timedelta(hours=door.house.settings.upload_hours, minutes=1)
    assert uploads.sweep(door.house, late) == 1
    assert (officer.http.get(officer.page.url).status_code, world(door.house)) == (404, ([], []))


@pytest.mark.parametrize(
    ("data", "code", "zh"),
    [
        (b"\x00\x01\x02", "unreadable", "不"),
        ("姓名\n甲\n".encode(), "missing-columns", "公民身份号码"),
        (b"", "empty-parcel", ""),
    ],
)
def test_a_file_that_is_no_parcel_is_refused_on_the_page_and_nothing_stays(
    door: Door, data: bytes, code: str, zh: str
) -> None:
    officer = Officer(door)
    officer.upload(data)
    assert officer.page.status_code == 422
    assert zh in officer.told
    assert 'lang="en"' in officer.told
    assert refusals(door.house) == [(make.POLICE, "police_household", code)]
    assert (world(door.house), list(door.house.settings.folder("uploads").iterdir())) == (([], []), [])


def test_another_department_s_resource_upload_and_receipt(door: Door) -> None:
    police, civil = Officer(door), Officer(door, make.CIVIL)
    civil.upload(resource="police_household")
    assert (civil.page.status_code, "不能推送" in civil.told) == (403, True)
    police.upload()
    waiting = police.page.url
    confirm = police.http.build_request("POST", f"{waiting}/confirm").url
    assert civil.http.get(waiting).status_code == 403
    civil.page = civil.http.get("/form")
    assert civil.http.post(confirm, data={"csrf": civil.csrf}).status_code == 403
    assert pushes.list_pushes(door.house) == []
    police.press("confirm")
    assert civil.http.get(police.page.url).status_code == 403
    for page in ("report", "data-docs", "row-errors"):
        assert civil.http.get(f"{police.page.url}/{page}").status_code == 403


def test_a_form_that_is_not_ours_changes_nothing(door: Door) -> None:
    officer = Officer(door)
    officer.upload(csrf="0" * 64)
    assert (officer.page.status_code, officer.told.split("<br>")[0]) == (403, "表单已过期，请返回重试")
    officer.page = officer.http.get("/form")
    officer.upload()
    where = f"{officer.page.url}/confirm"
    assert officer.http.post(where, data={}).status_code == 403
    elsewhere = {"origin": "http://elsewhere.example"}
    other = officer.http.post(where, data={"csrf": officer.csrf}, headers=elsewhere)
    assert (other.status_code, "请求来自其他网站" in other.text) == (403, True)
    signing = officer.http.post("/form/sign-in", data={"client_id": "c", "client_secret": "s"}, headers=elsewhere)
    assert signing.status_code == 403
    assert pushes.list_pushes(door.house) == []


def test_who_is_not_signed_in_sees_the_sign_in_page(door: Door) -> None:
    officer = Officer(door)
    cookie = officer.page.history[0].headers["set-cookie"]
    assert {"HttpOnly", "Path=/form", "SameSite=strict", "Max-Age=1800"} <= set(cookie.split("; "))
    assert officer.page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<script" not in officer.page.text

    stranger = browser(door, follow=False)
    assert (stranger.get("/form").status_code, 'name="client_secret"' in stranger.get("/form").text) == (200, True)
    wrong = stranger.post("/form/sign-in", data={"client_id": officer.client_id, "client_secret": "no"})
    assert (wrong.status_code, "调用方编号或密钥不对" in wrong.text) == (401, True)
    for where in ("/form/uploads/U261123-00000000000000000000", "/form/pushes/P261123-0000000000"):
        assert stranger.get(where).status_code == 401
    assert stranger.post("/form/uploads", files={"file": ("a.csv", RAW)}).status_code == 401

    clients.revoke(door.house, officer.client_id)
    stopped = officer.http.get("/form")
    assert (stopped.status_code, "调用方已停用" in stopped.text) == (401, True)
    signed = [(entry["client"], entry["decision"]) for entry in log(door.house) if entry["action"] == "form sign-in"]
    assert signed == [(officer.client_id, "answered"), (officer.client_id, "refused")]


def test_signing_out(door: Door) -> None:
    officer = Officer(door)
    officer.page = officer.http.post("/form/sign-out", data={"csrf": officer.csrf})
    assert 'name="client_secret"' in officer.page.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\nnonsense",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="resource"\r\n\r\n' + b"x" * 5000 + b"\r\n--b--\r\n",
    ],
)
def test_a_body_that_holds_no_file(door: Door, body: bytes) -> None:
    officer = Officer(door)
    sent = {"content-type": "multipart/form-data; boundary=b"}
    officer.page = officer.http.post("/form/uploads", content=body, headers=sent)
    assert officer.page.status_code == 422
    assert officer.told.startswith("没有收到完整的文件，请选择文件后重新上传")
    assert list(door.house.settings.folder("uploads").iterdir()) == []


def test_half_a_body_leaves_nothing(door: Door) -> None:
    officer = Officer(door)
    body = (
        f'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{officer.csrf}\r\n'
        '--b\r\nContent-Disposition: form-data; name="resource"\r\n\r\npolice_household\r\n'
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    ).encode() + RAW  # and no boundary at its end
    sent = {"content-type": "multipart/form-data; boundary=b"}
    assert officer.http.post("/form/uploads", content=body, headers=sent).status_code == 422
    assert list(door.house.settings.folder("uploads").iterdir()) == []


def test_names_and_sizes_are_refused_before_the_file(house: House) -> None:
    make.small_city(house)
    small = House(
        house.settings.model_copy(update={"max_parcel": ByteSize(1000)}), house.seal, house.databases, house.registry
    )
    with opened(small) as door:
        officer = Officer(door)
        officer.upload(b"x" * 2000)
        assert (officer.page.status_code, "超过上限 1000 字节" in officer.told) == (413, True)
        officer.page = officer.http.get("/form")
        officer.upload(name="a:b.csv")
        assert (officer.page.status_code, "文件名不能是路径" in officer.told) == (422, True)
        officer.page = officer.http.get("/form")
        officer.upload(resource="../keys")
        assert officer.page.status_code == 404
    assert list(house.settings.folder("uploads").iterdir()) == []


def test_the_sums_are_those_of_the_command_line(house: House) -> None:
    make.small_city(house)
    caller = Caller(None, make.POLICE)
    begun = byhand.begin(house, caller, "police_household", "a.csv", about=None, door="form")
    with uploads.held(house, caller, begun.id) as one:
        for at in range(0, len(RAW), 10):
            one.write(RAW[at : at + 10])
        said = byhand.declare(house, caller, one, "a.csv", "form")
    assert (said.batch, said.mode, said.rows, said.digest) == (1, "full", 2, digest_hex(RAW))
    assert uploads.get(house, caller, begun.id).declaration == said
    assert list(house.settings.folder("spill").iterdir()) == []
