"""What YAML and file systems do to people: every trap is a finding or means what it says, never a traceback."""

import random
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import catalogue
from exchange.catalogue import folder as folders
from exchange.catalogue.model import DataType, Sensitivity, ShareType
from exchange.errors import CatalogueError
from tests import make

PLAIN = """
id: police_household
title: 户籍人口
department: 11100000000013338W
prefix: 307016410800
category_path: 部门/省/市/公安
abstract: 常住户口登记
format_category: 03
format_type: MySQL
share: {type: 有条件共享, condition: 履行职责需要}
open: 否
update_cycle: 每日
publish_date: 2026-01-01
data_level: 一般
key: id_number
items:
  - {name: id_number, title: 公民身份号码, type: C18, required: 是, identifier: resident_number, sensitivity: 个人隐私}
  - {name: sex_code, title: 性别, type: C1, code_table: sex, share_type: 无条件, aliases: XB}
  - {name: height, title: 身高, type: 'N5,2'}
  - {name: no, title: no, type: I}
  - {name: updated_at, title: 更新时间, type: T14, is_timestamp: true}
related_codes:
"""


def folder_with(tmp_path: Path, **files: str | bytes) -> Path:
    """A folder of the small city's departments and these files (`a__b` is a/b.yaml)."""
    make.write_catalogue(tmp_path, resources=[], bases=[])
    for name, text in files.items():
        path = tmp_path / f"{name.replace('__', '/')}.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return tmp_path


def findings(folder: Path) -> list[str]:
    with pytest.raises(CatalogueError) as refused:
        catalogue.read_folder(folder)
    return refused.value.findings


def test_words_and_plain_values_mean_what_they_say(tmp_path: Path) -> None:
    (entry,) = catalogue.read_folder(folder_with(tmp_path, resources__police=PLAIN)).resources
    assert (entry.format_category, entry.update_cycle, entry.publish_date) == ("03", "daily", date(2026, 1, 1))
    assert (entry.share.type, entry.open, entry.key, entry.related_codes) == (
        ShareType.CONDITIONAL,
        False,
        ("id_number",),
        (),
    )
    assert [(item.name, item.title, item.type, item.length, item.scale) for item in entry.items] == [
        ("id_number", "公民身份号码", DataType.TEXT, 18, None),
        ("sex_code", "性别", DataType.TEXT, 1, None),
        ("height", "身高", DataType.NUMBER, 5, 2),
        ("no", "no", DataType.INTEGER, None, None),
        ("updated_at", "更新时间", DataType.TIMESTAMP, None, None),
    ]
    assert entry.items[0].sensitivity is Sensitivity.PERSONAL
    assert (entry.items[1].share_type, entry.items[1].aliases) == (ShareType.UNCONDITIONAL, ("XB",))


def test_codes_keep_their_leading_zeros_and_their_no(tmp_path: Path) -> None:
    table = "id: village\ntitle: 村\ncodes: {01: 东村, 010: 西村, no: 挪威村, 1e3: 千村}"
    draft = catalogue.read_folder(folder_with(tmp_path, resources__police=PLAIN, codes__village=table))
    assert draft.codes == {"village": {"01": "东村", "010": "西村", "no": "挪威村", "1e3": "千村"}}


TRAPS = {
    "an empty file": (
        "",
        "resources/x.yaml yaml-empty：文件是空的，请填写或删除 / the file is empty; fill it in or remove it",
    ),
    "only a comment": (
        "# nothing yet\n",
        "resources/x.yaml yaml-empty：文件是空的，请填写或删除 / the file is empty; fill it in or remove it",
    ),
    "a tab": (
        "id: x\n\ttitle: y\n",
        "resources/x.yaml:2 yaml：不是有效的 YAML（found a tab character that violates indentation），请检查缩进、引号和冒号 / "
        "not valid YAML (found a tab character that violates indentation); look at indentation, quotes and colons",
    ),
    "an open quote": (
        'id: "x\n',
        "resources/x.yaml:2 yaml：不是有效的 YAML（found unexpected end of stream），请检查缩进、引号和冒号 / "
        "not valid YAML (found unexpected end of stream); look at indentation, quotes and colons",
    ),
    "two documents": (
        "id: x\n---\nid: y\n",
        "resources/x.yaml:2 yaml-plain：只接受普通的 YAML：一个文件一份，不用别名（&、*）、标签（!），层次不超过 20 / "
        "only plain YAML is accepted: one document a file, no aliases (&, *), no tags (!), at most 20 levels",
    ),
    "GB18030": (
        "title: 户籍".encode("gb18030"),
        "resources/x.yaml yaml-utf8：不是 UTF-8 文本，请另存为 UTF-8 / not UTF-8 text; save it as UTF-8",
    ),
    "binary rubbish": (
        b"\x00\x01\x02",
        "resources/x.yaml yaml-utf8：不是 UTF-8 文本，请另存为 UTF-8 / not UTF-8 text; save it as UTF-8",
    ),
    "a list": (
        "- id: x\n",
        "resources/x.yaml:1 field-form：应是 “名称: 值” 的形式 / must be written as `name: value` lines",
    ),
    "a word": (
        "police\n",
        "resources/x.yaml:1 field-form：应是 “名称: 值” 的形式 / must be written as `name: value` lines",
    ),
    "aliases": (
        "a: &a [x]\nb: *a\n",
        "resources/x.yaml:1 yaml-plain：只接受普通的 YAML：一个文件一份，不用别名（&、*）、标签（!），层次不超过 20 / "
        "only plain YAML is accepted: one document a file, no aliases (&, *), no tags (!), at most 20 levels",
    ),
    "a bomb of aliases": (
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
        "resources/x.yaml:1 yaml-plain：只接受普通的 YAML：一个文件一份，不用别名（&、*）、标签（!），层次不超过 20 / "
        "only plain YAML is accepted: one document a file, no aliases (&, *), no tags (!), at most 20 levels",
    ),
    "itself": (
        "&a [*a]\n",
        "resources/x.yaml:1 yaml-plain：只接受普通的 YAML：一个文件一份，不用别名（&、*）、标签（!），层次不超过 20 / "
        "only plain YAML is accepted: one document a file, no aliases (&, *), no tags (!), at most 20 levels",
    ),
    "a Python object": (
        "!!python/object/apply:os.system ['true']\n",
        "resources/x.yaml:1 yaml-plain：只接受普通的 YAML：一个文件一份，不用别名（&、*）、标签（!），层次不超过 20 / "
        "only plain YAML is accepted: one document a file, no aliases (&, *), no tags (!), at most 20 levels",
    ),
    "a private tag": (
        "id: !secret x\n",
        "resources/x.yaml:1 yaml-plain：只接受普通的 YAML：一个文件一份，不用别名（&、*）、标签（!），层次不超过 20 / "
        "only plain YAML is accepted: one document a file, no aliases (&, *), no tags (!), at most 20 levels",
    ),
    "a list as a name": (
        "? [a, b]\n: c\n",
        "resources/x.yaml:1 yaml-plain：只接受普通的 YAML：一个文件一份，不用别名（&、*）、标签（!），层次不超过 20 / "
        "only plain YAML is accepted: one document a file, no aliases (&, *), no tags (!), at most 20 levels",
    ),
    "very deep": (
        "[" * 100_000,
        "resources/x.yaml:1 yaml-plain：只接受普通的 YAML：一个文件一份，不用别名（&、*）、标签（!），层次不超过 20 / "
        "only plain YAML is accepted: one document a file, no aliases (&, *), no tags (!), at most 20 levels",
    ),
    "very long": (
        b"#" * (4 * 1024 * 1024 + 1),
        "resources/x.yaml yaml-size：文件超过 4 MiB，请拆分 / larger than 4 MiB; split it",
    ),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, trap: str) -> None:
    text, expected = TRAPS[trap]
    assert findings(folder_with(tmp_path, resources__police=PLAIN, resources__x=text)) == [expected]


def test_a_name_written_twice_is_no_silent_overwrite(tmp_path: Path) -> None:
    assert findings(folder_with(tmp_path, resources__police=PLAIN + "title: 另一个\n")) == [
        "resources/police.yaml:23 yaml-repeated：“title” 写了两次，请保留一个 / “title” is written twice; keep one"
    ]


def test_one_id_in_two_files(tmp_path: Path) -> None:
    assert findings(folder_with(tmp_path, resources__a=PLAIN, resources__b=PLAIN)) == [
        "resources/b.yaml:2 [police_household] id-repeated：“police_household” 已在 resources/a.yaml:2 [police_household] 用过，"
        "请换一个 / “police_household” is already used at resources/a.yaml:2 [police_household]; choose another"
    ]


def test_a_file_in_the_wrong_place_is_not_left_out_silently(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, resources__police=PLAIN)
    for name in ("resource/market.yaml", "resources/deep/tax.yaml", "resources/civil.YAML", "department.yml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(PLAIN)
    (folder / "README.md").write_text("not a catalogue file")
    (folder / "resources" / ".police.yaml.swp").write_text("an editor's")
    said = (
        " file-place：文件不会被读取：只读 departments.yaml、resources/、bases/、themes/、codes/（小写扩展名 .yaml） / "
        "this file would not be read: only departments.yaml, resources/, bases/, themes/ and codes/ are (suffix .yaml)"
    )
    names = ("department.yml", "resource/market.yaml", "resources/civil.YAML", "resources/deep/tax.yaml")
    assert findings(folder) == [name + said for name in names]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    assert findings(folder) == [f"{folder} folder：没有这个目录，请检查路径 / there is no such folder; look at the path"]


def test_a_folder_without_departments(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, resources__police=PLAIN)
    (folder / "departments.yaml").unlink()
    assert findings(folder)[0] == (
        "departments.yaml departments：缺少 departments.yaml（部门清单） / departments.yaml (the list of departments) is missing"
    )


def test_a_link_to_nowhere(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, resources__police=PLAIN)
    (folder / "resources" / "gone.yaml").symlink_to(tmp_path / "gone")
    assert findings(folder) == [
        "resources/gone.yaml file：无法读取（No such file or directory） / cannot be read (No such file or directory)"
    ]


def test_a_folder_called_like_a_file_is_not_read(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, resources__police=PLAIN)
    (folder / "resources" / "old.yaml").mkdir()
    assert len(catalogue.read_folder(folder).resources) == 1


_WORDS = st.sampled_from(
    [
        "",
        "id",
        "items",
        "key",
        "share",
        "1",
        "- ",
        ": ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "!!",
        "'",
        '"',
        "\n",
        "  ",
        "|",
        "涉密",
        "~",
        "? ",
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["涉密", "C18", "id_number", "a.b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(text=st.lists(_WORDS, max_size=40).map("".join))
def test_no_text_at_all_gives_a_traceback(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = folder_with(
        tmp_path_factory.mktemp("f"), resources__police=PLAIN, resources__x=text, bases__x=text, codes__x=text
    )
    assert all(" / " in finding for finding in findings(folder))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_value_in_any_place_gives_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any part of a good catalogue replaced by anything: it is accepted or every finding says where and what."""
    entry = make.police_household(rules=[{"id": "r1", "title": "规"}])
    base = make.population()
    for target in (entry, base):
        for _ in range(2):
            _replace_somewhere(target, data)
    folder = make.write_catalogue(tmp_path_factory.mktemp("f"), resources=[make.market_entity()], bases=[])
    make._write(folder / "resources" / "x.yaml", entry)
    make._write(folder / "bases" / "x.yaml", base)
    for finding in folders.read(folder).findings:
        assert " / " in finding
        assert "Input should" not in finding


def _replace_somewhere(target: object, data: st.DataObject) -> None:
    seed = random.Random(data.draw(st.integers(0, 10_000)))
    while True:
        if not isinstance(target, dict | list) or not target:
            return
        at = seed.choice(list(target) if isinstance(target, dict) else range(len(target)))
        inner = target[at]  # type: ignore[index]
        if isinstance(inner, dict | list) and inner and seed.random() < 0.7:
            target = inner
            continue
        target[at] = data.draw(_VALUES)  # type: ignore[index]
        return
