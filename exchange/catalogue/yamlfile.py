"""YAML as people mean it: every value is text until the catalogue says otherwise.

Invariant: no surprise of YAML reaches the catalogue: `01` stays "01", `no` stays "no", a repeated name is a finding and
not a silent overwrite, and every value knows its line.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

from exchange.catalogue.findings import Findings, Place

Path_ = tuple[str | int, ...]
_LARGEST = 4 * 1024 * 1024  # bytes; a hand-written file has a hundredth of that
_DEEPEST = 20
_NULL = ("", "~", "null")


@dataclass(frozen=True)
class Document:
    """A file's value (dicts, lists, texts and None) and the line of every part of it."""

    file: str
    value: object
    lines: dict[Path_, int]

    def line(self, path: Path_) -> int | None:
        """The line of a part, or of the nearest thing around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def read_yaml(folder: Path, path: Path, findings: Findings) -> Document | None:
    """Read one file; None when it can't be read, with a finding that says why."""
    place = Place(str(path.relative_to(folder)))
    text = _text(path, place, findings)
    if text is None:
        return None
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "unreadable"
        line = None if mark is None else mark.line + 1
        findings.add(
            place.at(line=line),
            "yaml",
            f"不是有效的 YAML（{problem}），请检查缩进、引号和冒号",
            f"not valid YAML ({problem}); look at indentation, quotes and colons",
        )
        return None
    if node is None:
        findings.add(place, "yaml-empty", "文件是空的，请填写或删除", "the file is empty; fill it in or remove it")
        return None
    lines: dict[Path_, int] = {}
    try:
        value = _value(node, (), lines, set(), place, findings)
    except _TooClever as error:
        findings.add(
            place.at(line=error.line),
            "yaml-plain",
            "只接受普通的 YAML：不用别名（&、*）、标签（!），层次不超过 20",
            "only plain YAML is accepted: no aliases (&, *), no tags (!), at most 20 levels",
        )
        return None
    return Document(place.file, value, lines)


def _text(path: Path, place: Place, findings: Findings) -> str | None:
    try:
        if path.stat().st_size > _LARGEST:
            findings.add(place, "yaml-size", "文件超过 4 MiB，请拆分", "larger than 4 MiB; split it")
            return None
        text = path.read_bytes().decode("utf-8-sig")
        yaml.reader.Reader(text)
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        findings.add(place, "yaml-utf8", "不是 UTF-8 文本，请另存为 UTF-8", "not UTF-8 text; save it as UTF-8")
        return None
    except OSError as error:
        findings.add(place, "file", f"无法读取（{error.strerror}）", f"cannot be read ({error.strerror})")
        return None
    return text


class _Loader(yaml.CSafeLoader):
    """Composes nodes only; what they mean is decided below."""


class _TooClever(Exception):
    def __init__(self, line: int) -> None:
        self.line = line


def _value(
    node: yaml.Node, path: Path_, lines: dict[Path_, int], seen: set[int], place: Place, findings: Findings
) -> object:
    line = node.start_mark.line + 1
    if id(node) in seen or len(path) > _DEEPEST or not node.tag.startswith("tag:yaml.org,2002:"):
        raise _TooClever(line)
    seen.add(id(node))
    lines.setdefault(path, line)
    if isinstance(node, yaml.ScalarNode):
        return None if node.style is None and node.value.lower() in _NULL else node.value
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, (*path, n), lines, seen, place, findings) for n, child in enumerate(node.value)]
    result: dict[str, object] = {}
    for name_node, child in node.value:
        if not isinstance(name_node, yaml.ScalarNode):
            raise _TooClever(name_node.start_mark.line + 1)
        name = name_node.value
        lines[(*path, name)] = name_node.start_mark.line + 1
        if name in result:
            findings.add(
                place.at(line=name_node.start_mark.line + 1),
                "yaml-repeated",
                f"“{name}” 写了两次，请保留一个",
                f"{name!r} is written twice; keep one",
            )
        result[name] = _value(child, (*path, name), lines, seen, place, findings)
    return result
