"""The demo city is what it says: the same every time, made of valid numbers, and wrong exactly where it says so."""

import csv
import hashlib
import time
from pathlib import Path

import pytest

from exchange import catalogue
from exchange.catalogue import uscc
from exchange.house import House
from infra.demo.city import City, Sheet, scale_of
from infra.demo.run import CATALOGUE, READ_BY_THEME, THEME

RESIDENTS = 3000


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    made = City(tmp_path_factory.mktemp("city") / "demo", RESIDENTS)
    for sheet in made.sheets:
        made.parcel(sheet)
    return made


def digests(city: City) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in city.folder.glob("*.[cx][sl]*")}


def test_the_same_scale_gives_the_same_bytes(city: City, tmp_path: Path) -> None:
    time.sleep(1.1)  # a workbook's time stamps would differ
    again = City(tmp_path / "demo", RESIDENTS)
    for sheet in again.sheets:
        again.parcel(sheet)
    assert digests(again) == digests(city)
    assert len(digests(city)) == len(city.sheets) == 27


def test_the_catalogue_has_a_place_for_everything_that_is_sent(city: City) -> None:
    draft = catalogue.read_folder(CATALOGUE)
    assert len(draft.departments) == 9
    assert {sheet.resource for sheet in city.sheets} == {resource.id for resource in draft.resources}
    assert len(draft.resources) >= 12
    assert {base.id for base in draft.bases} == {"population", "legal_entity", "elicense", "credit"}
    by_id = {resource.id: resource for resource in draft.resources}
    for sheet in city.sheets:
        known = {item.title: item.name for item in by_id[sheet.resource].items}
        assert {title: name for name, title in sheet.items}.items() <= known.items(), sheet.name


def check_character(number: str) -> str:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[sum(int(digit) * weight for digit, weight in zip(number, weights, strict=True)) % 11]


def test_every_resident_has_a_number_of_their_own_that_is_valid(city: City) -> None:
    people = city.engine.execute("SELECT id_number, birth, sex_code FROM person").fetchall()
    assert len(people) == len({number for number, _, _ in people}) == RESIDENTS + RESIDENTS // 125
    for number, birth, sex in people:
        assert number[17] == check_character(number[:17])
        assert number[6:14] == f"{birth:%Y%m%d}"
        assert int(number[16]) % 2 == int(sex) % 2


def test_every_entity_has_a_code_of_its_own_that_is_valid(city: City) -> None:
    codes = [code for (code,) in city.engine.execute("SELECT uscc FROM entity").fetchall()]
    assert len(set(codes)) == RESIDENTS // 5
    assert all(uscc.valid(code) for code in codes)


def sent(city: City, sheet: Sheet) -> list[dict[str, str]]:
    text = (city.folder / f"{sheet.name}.csv").read_text(encoding=sheet.form)
    return list(csv.DictReader(text.splitlines(), delimiter=sheet.delimiter))


def test_what_is_planted_is_in_the_file(city: City) -> None:
    sheet = city.sheets[0]
    rows, parcel = sent(city, sheet), city.parcel(city.sheets[0])
    planted = {each.kind: each.rows for each in parcel.planted}
    numbers = [row["公民身份号码"] for row in rows]
    assert len(rows) == parcel.rows == RESIDENTS
    assert sum(len(number) == 15 for number in numbers) == planted["fifteen"]
    assert sum(number.endswith("x") for number in numbers) == planted["lower_x"]
    assert sum(number.strip(" 　") != number for number in numbers) == planted["blanks"]
    assert sum(row["姓名"] == "" for row in rows) == planted["missing"]
    assert sum(row["民族"] == "77" for row in rows) == planted["bad_code"]
    assert sum(row["出生日期"] == "2023-02-30" for row in rows) == planted["bad_date"]
    plain = [number for number in numbers if len(number) == 18 and number.isascii() and number.strip() == number]
    wrong = sum(number.upper()[17] != check_character(number[:17]) for number in plain)
    assert wrong == planted["bad_check"]


def test_a_row_is_sent_twice_only_where_the_city_says_so(city: City) -> None:
    for sheet in city.sheets:
        if sheet.form != "xlsx":
            lines = (city.folder / f"{sheet.name}.csv").read_bytes().splitlines()
            repeated = len(lines) - len(set(lines))
            assert repeated == sum(p.rows for p in city.parcel(sheet).planted if p.kind == "duplicate"), sheet.name


@pytest.mark.parametrize(("text", "residents"), [("100k", 100_000), ("10M", 10_000_000), ("2500", 2500)])
def test_a_scale_is_a_word_or_a_number(text: str, residents: int) -> None:
    assert scale_of(text) == residents


def test_every_theme_of_the_demo_may_be_built_and_has_a_number_to_come_to(city: City, house: House) -> None:
    catalogue.load(house, CATALOGUE)
    (theme,) = catalogue.current(house).themes
    assert theme.id == THEME
    assert {name: set(fields) for name, fields in theme.reads.items()} == {
        name: set(fields) for name, fields in READ_BY_THEME.items()
    }
    insured = city.engine.execute("SELECT count(*) FROM sent_hr_insurance_1 WHERE insurance_status = '1'").fetchone()
    assert insured is not None
    assert 0 < city.theme_rows(THEME) < insured[0]
