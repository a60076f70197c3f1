"""Pages that lead nowhere else: what Great Expectations writes, without all it would load, link to or run.

Invariant: what is left of a page needs no other file and no network; an address in it is an anchor of the page or data.
"""

from html import escape
from html.parser import HTMLParser

_WITH_CONTENT = {"script", "style", "footer", "form", "iframe", "object"}  # dropped whole
_ALONE = {"link", "base", "embed", "img", "source", "input"}  # dropped; these have no content
_ADDRESSES = {"href", "src", "srcset", "action", "formaction", "data", "poster", "background", "cite", "xlink:href"}
_HEAD = """<link rel="icon" href="data:,">
<style>
body{font:15px/1.6 "Noto Sans CJK SC","Microsoft YaHei",sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%}td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}
ul{padding-left:1.2rem}pre{white-space:pre-wrap}.modal,.sticky-top,.card.mb-3{display:none}.cooltip .top{font-size:.8em}
.fa-check-circle::before{content:"✓";color:#3a7d5c}.fa-times::before{content:"✗";color:#b8443c}i{font-style:normal}
</style>"""


def alone(page: str) -> str:
    """The page by itself. What linked elsewhere stays as text."""
    writer = _Alone()
    writer.feed(page)
    writer.close()
    return "".join(writer.parts)


class _Alone(HTMLParser):
    """Writes a page again as it is read, tag by tag; what is not dropped or changed is written letter by letter."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.inside: list[str] = []  # the element being dropped, and those of its name inside of it

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.inside:
            if tag == self.inside[0]:
                self.inside.append(tag)
        elif tag in _WITH_CONTENT:
            self.inside.append(tag)
        elif tag not in _ALONE:
            self.parts.append(self._kept(tag, attrs))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self.inside and tag not in _WITH_CONTENT | _ALONE:
            self.parts.append(self._kept(tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        if self.inside:
            if tag == self.inside[0]:
                self.inside.pop()
        elif tag == "head":
            self.parts.append(f"{_HEAD}</head>")
        else:
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self._write(data)

    def handle_entityref(self, name: str) -> None:
        self._write(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._write(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        self._write(f"<!{decl}>")

    def _kept(self, tag: str, attrs: list[tuple[str, str | None]]) -> str:
        harmless = [(name, value or "") for name, value in attrs if _harmless(name, value or "")]
        if len(harmless) == len(attrs):
            return self.get_starttag_text() or ""
        return f"<{' '.join([tag, *(_attribute(name, value) for name, value in harmless)])}>"

    def _write(self, text: str) -> None:
        if not self.inside:
            self.parts.append(text)


def _harmless(name: str, value: str) -> bool:
    """Whether an attribute loads nothing, links nowhere else and runs nothing."""
    if name in _ADDRESSES:
        return value.startswith(("#", "data:"))
    return not name.startswith("on") and not (name == "style" and "url(" in value.lower())


def _attribute(name: str, value: str) -> str:
    return f'{name}="{escape(value)}"'
