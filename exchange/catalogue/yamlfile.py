"""YAML as people mean it: every value is text until the catalogue says otherwise.

Invariant: no surprise of YAML reaches the catalogue: `01` stays "01", `no` stays "no", a repeated name is a finding and
not a silent overwrite, and every value knows its line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from exchange.catalogue.findings import Findings, Place, shown

Path_ = tuple[str | int, ...]
_LARGEST = 4 * 1024 * 1024  # bytes; a hand-written file has a hundredth of that
_DEEPEST = 20
_NULL = ("", "~", "null")
_TAGS = (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")


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
    builder = _Builder(place, findings)
    try:
        value = builder.document(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "unreadable"
        findings.add(
            place.at(line=None if mark is None else mark.line + 1),
            "yaml",
            f"不是有效的 YAML（{problem}），请检查缩进、引号和冒号",
            f"not valid YAML ({problem}); look at indentation, quotes and colons",
        )
        return None
    except _TooClever as error:
        findings.add(
            place.at(line=error.line),
            "yaml-plain",
            "只接受普通的 YAML：一个文件一份，不用别名（&、*）、标签（!），层次不超过 20",
            "only plain YAML is accepted: one document a file, no aliases (&, *), no tags (!), at most 20 levels",
        )
        return None
    if value is None:
        findings.add(place, "yaml-empty", "文件是空的，请填写或删除", "the file is empty; fill it in or remove it")
        return None
    return Document(place.file, value, builder.lines)


def _text(path: Path, place: Place, findings: Findings) -> str | None:
    try:
        if path.stat().st_size > _LARGEST:
            findings.add(place, "yaml-size", "文件超过 4 MiB，请拆分", "larger than 4 MiB; split it")
            return None
        text = path.read_bytes().decode("utf-8-sig")
        yaml.reader.Reader(text)  # refuses control characters
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        findings.add(place, "yaml-utf8", "不是 UTF-8 文本，请另存为 UTF-8", "not UTF-8 text; save it as UTF-8")
        return None
    except OSError as error:
        findings.add(place, "file", f"无法读取（{error.strerror}）", f"cannot be read ({error.strerror})")
        return None
    return text


class _TooClever(Exception):
    def __init__(self, line: int) -> None:
        self.line = line


class _Builder:
    """From the parser's events to values. Not by way of yaml.compose: libyaml's composer dies on deep nesting."""

    def __init__(self, place: Place, findings: Findings) -> None:
        self.place = place
        self.findings = findings
        self.lines: dict[Path_, int] = {}

    def document(self, events: Iterator[yaml.Event]) -> object:
        """The only document's value; None when there is none."""
        value, documents = None, 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _TooClever(_line(event))
                value = self._value(next(events), events, ())
        return value

    def _value(self, event: Any, events: Iterator[yaml.Event], path: Path_) -> object:
        line = _line(event)
        clever = isinstance(event, yaml.AliasEvent) or event.anchor is not None or event.tag not in _TAGS
        if clever or len(path) > _DEEPEST:
            raise _TooClever(line)
        self.lines.setdefault(path, line)
        if isinstance(event, yaml.ScalarEvent):
            return None if not event.style and event.value.lower() in _NULL else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path)
        return self._mapping(events, path)

    def _sequence(self, events: Iterator[yaml.Event], path: Path_) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            values.append(self._value(event, events, (*path, len(values))))
        return values

    def _mapping(self, events: Iterator[yaml.Event], path: Path_) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag not in _TAGS:
                raise _TooClever(line)
            name = event.value
            if name in values:
                self.findings.add(
                    self.place.at(line=line),
                    "yaml-repeated",
                    f"{shown(name)} 写了两次，请保留一个",
                    f"{shown(name)} is written twice; keep one",
                )
            self.lines[(*path, name)] = line
            values[name] = self._value(next(events), events, (*path, name))
        return values


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
