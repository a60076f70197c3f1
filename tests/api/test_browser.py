"""The web form and the report in a real browser, against the real process: what an officer sees, clicks and reads.

The browser is the machine's own chromium with its driver; nothing is downloaded.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from exchange import clients
from exchange.house import House
from exchange.intake import pushes
from exchange.seal import digest_hex
from quality import gate
from tests import make
from tests.intake import boxes
from tests.intake.kit import environment

REQUIRED = os.environ.get("EXCHANGE_REQUIRE_BROWSER") == "1"
PROGRAMS = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
HEADER = ["公民身份号码", "姓名", "性别", "出生日期", "更新时间"]
ROWS = [[make.resident(n), f"甲{n}", "1", f"1950-01-0{n}", "2026-01-01 08:00:00"] for n in (1, 2, 3)]
PATIENCE = 60  # seconds


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    if None in PROGRAMS.values():
        told = f"*** the web form NOT tested in a browser: chromium and chromium-driver are not installed ({PROGRAMS}) ***"
        (pytest.fail if REQUIRED else pytest.skip)(told)
    options = webdriver.ChromeOptions()
    options.binary_location = str(PROGRAMS["chromium"])
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server", "--lang=zh-CN"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    one = webdriver.Chrome(options, webdriver.ChromeService(str(PROGRAMS["chromedriver"])))
    one.set_page_load_timeout(PATIENCE)
    yield one
    one.quit()


@contextmanager
def served(house: House) -> Iterator[str]:
    """The HTTP door as `exchange up` starts it, for this house."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "infra.serve:app",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    process = subprocess.Popen(command, env=environment(house), cwd=Path(__file__).parents[2])
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None, "the door ended by itself"
            assert time.monotonic() < until, "the door did not open"
            try:
                httpx.get(f"{address}/form", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


class Desk:
    """An officer before a browser."""

    def __init__(self, browser: webdriver.Chrome, address: str) -> None:
        self.browser = browser
        self.address = address

    def text(self, where: str) -> str:
        """The text of an element, once it is there."""
        waiting = WebDriverWait(self.browser, PATIENCE)
        return waiting.until(lambda one: one.find_element(By.CSS_SELECTOR, where)).text

    def sign_in(self, client: str, secret: str) -> None:
        self.browser.get(f"{self.address}/form")
        self.browser.find_element(By.ID, "client").send_keys(client)
        self.browser.find_element(By.ID, "secret").send_keys(secret)
        self.browser.find_element(By.CSS_SELECTOR, "button").click()

    def upload(self, file: Path) -> None:
        self.text("#resource")
        Select(self.browser.find_element(By.ID, "resource")).select_by_value("police_household")
        self.browser.find_element(By.ID, "file").send_keys(str(file))
        self.browser.find_element(By.CSS_SELECTOR, "form[enctype] button").click()


def test_from_signing_in_to_the_report(house: House, tmp_path: Path, browser: webdriver.Chrome) -> None:
    make.small_city(house)
    client, secret = clients.create(house, make.POLICE, "经办人")
    rows = [[410802195001020000, *ROWS[0][1:]], *ROWS[1:]]
    book = tmp_path / "户籍.xlsx"
    book.write_bytes(boxes.xlsx(数据=[HEADER, *rows]))
    with served(house) as address:
        desk = Desk(browser, address)
        desk.sign_in(client, "不对")
        assert desk.text(".problem").startswith("调用方编号或密钥不对")
        desk.sign_in(client, secret)
        desk.upload(book)
        assert (desk.text("#batch"), desk.text("#rows")) == ("1", "3")
        assert desk.text("#digest") == f"sm3={digest_hex(book.read_bytes())}"
        assert pushes.list_pushes(house) == [], "nothing is landed before the confirmation"

        browser.find_element(By.ID, "confirm").click()
        assert desk.text("#waiting").startswith("等待质检，本页每 5 秒刷新")
        (receipt,) = pushes.list_pushes(house)
        assert browser.current_url == f"{address}/form/pushes/{receipt.id}"
        gate.check(house, receipt.id)
        assert desk.text("#verdict") == "退回 rejected", "the page looked again by itself"

        browser.find_element(By.PARTIAL_LINK_TEXT, "质量报告").click()
        report = desk.text("body")
        assert report.startswith("户籍人口 退回 rejected")
        assert receipt.id in report
        assert "每行的列数与列名行一致" in report
        assert "410802195001020000" not in report


def test_a_bad_file_shows_its_trap_and_lands_nothing(house: House, tmp_path: Path, browser: webdriver.Chrome) -> None:
    make.small_city(house)
    client, secret = clients.create(house, make.POLICE, "经办人")
    web = tmp_path / "户籍.csv"
    web.write_text("<html><table><tr><td>公民身份号码</td></tr></table>", "utf-8")
    with served(house) as address:
        desk = Desk(browser, address)
        desk.sign_in(client, secret)
        desk.upload(web)
        zh, en = desk.text(".problem").splitlines()
        assert zh == ("这不是可接收的表格，而像是网页表格（HTML），只是改了扩展名；请另存为 CSV（UTF-8）或 XLSX 后重新推送")
        assert en == (
            "not a table we accept: it looks like a web page's table (HTML) under another name; save it as CSV (UTF-8) or "
            "XLSX and push again"
        )
        assert pushes.list_pushes(house) == []
        browser.find_element(By.PARTIAL_LINK_TEXT, "返回").click()
        assert desk.text("h1").startswith("推送数据")
