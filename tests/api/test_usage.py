"""A command typed wrong: the sentence says what is wrong and how it should be; the same as JSON; the exit code is 2."""

import json

import pytest

from api.cli import app

PERSON = "410802199001011234"
WRONG: list[tuple[list[str], str, str, str]] = [
    # typed                          command            中文                                        English
    (["push"], "exchange push", "缺少参数 RESOURCE（资源）", "argument RESOURCE is missing"),
    (
        ["push", "r"],
        "exchange push",
        "缺少参数 FILE（CSV、XLSX、XLS、JSON Lines、Parquet 或 Arrow，可用 gzip 或 zip 压缩）",
        "argument FILE is missing",
    ),
    (
        ["push", "r", f"/no/{PERSON}.csv"],
        "exchange push",
        "参数 FILE 的值不对：文件不存在",
        "the value of argument FILE is wrong: there is no such file",
    ),
    (
        ["push", "r", "/"],
        "exchange push",
        "参数 FILE 的值不对：这是文件夹，应为文件",
        "the value of argument FILE is wrong: this is a folder; a file is expected",
    ),
    (
        ["push", "r", __file__, "--batch", PERSON + "X"],
        "exchange push",
        "选项 --batch 的值不对：应为整数",
        "the value of option --batch is wrong: a whole number is expected",
    ),
    (
        ["push", "r", __file__, "--mode", PERSON],
        "exchange push",
        "选项 --mode 的值不对：应为 full、incremental、deletions 之一",
        "the value of option --mode is wrong: one of full, incremental, deletions is expected",
    ),
    (
        ["push", "r", __file__, "--batc=1"],
        "exchange push",
        "没有选项 --batc，相近的有 --batch、--wait",
        "there is no option --batc; near it are --batch, --wait",
    ),
    (["pushes", "--zzz"], "exchange pushes", "没有选项 --zzz", "there is no option --zzz"),
    (["push", "r", "--batch"], "exchange", "选项 --batch 后面缺少值", "option --batch needs a value after it"),
    (
        ["push", "r", __file__, "--yes=1"],
        "exchange",
        "选项 --yes 后面不带值",
        "option --yes takes no value",
    ),
    (["log", "verify", PERSON], "exchange log verify", "参数太多", "too many arguments"),
    (["log", "verifi"], "exchange log", "没有这个命令，相近的有 verify", "there is no such command; near it are verify"),
    (
        ["log", PERSON],
        "exchange log",
        "没有这个命令，可用的有 who-saw、verify、purge",
        "there is no such command; there are who-saw, verify, purge",
    ),
]


@pytest.mark.parametrize(("typed", "command", "zh", "en"), WRONG, ids=[zh for _, _, zh, _ in WRONG])
def test_what_is_wrong_is_said_chinese_first(
    typed: list[str], command: str, zh: str, en: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole_zh, whole_en = f"{zh}；用法见 {command} --help", f"{en}; see `{command} --help`"

    with pytest.raises(SystemExit) as ended:
        app(typed, prog_name="exchange")
    shown = capsys.readouterr()
    assert (ended.value.code, shown.out, shown.err) == (2, "", f"{whole_zh}\n{whole_en}\n")

    with pytest.raises(SystemExit) as ended:
        app([*typed[:1], "--json", *typed[1:]] if typed[0] != "log" else [*typed, "--json"], prog_name="exchange")
    shown = capsys.readouterr()
    told = {"code": "usage", "zh": whole_zh, "en": whole_en, "facts": {"command": command}}
    assert (ended.value.code, shown.out, json.loads(shown.err)) == (2, "", told)


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app([], prog_name="exchange")
    assert ended.value.code == 2
    assert "政务数据共享交换平台" in "".join(capsys.readouterr())
