"""The HTML of a template: its styles are put into its elements, and its text is made of it, once, at approval.

Both tools know HTML and no Jinja. So each tag of Jinja is replaced by a word before, or by a comment where it stands
between elements, and put back afterwards; they must then be the same in the same order.
"""

import re
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser

from cdp_platform.campaigns.template_language import tags
from cdp_platform.errors import QueryError

_MAX_DEPTH = 200
# Elements without an end, and those whose end is usually left out and which the next of their kind ends.
_NOT_NESTED = frozenset("area base br col embed hr img input link meta source track wbr p li dd dt".split())
_NOT_IN_MAIL = {"script", "iframe", "object", "embed", "form"}
_CELLS = frozenset({"td", "th", "caption"})
_TABLE = _CELLS | {"table", "thead", "tbody", "tfoot", "tr"}
# Where a comment would not be one: comments, texts of a page's head, and the tags of elements.
_INSIDE = re.compile(
    r"<!--.*?(?:-->|\Z)|<(title|textarea|style)\b.*?(?:</\1\s*>|\Z)"
    r"""|<[a-zA-Z/!](?:[^<>"']|"[^"]*"|'[^']*')*>""",
    re.DOTALL | re.IGNORECASE,
)


def styled(source: str) -> str:
    """The HTML with the rules of its style sheets in the elements' ``style``; rules for screens (``@media``) stay.

    Nothing is loaded: style sheets elsewhere are dropped, as mail readers do.

    Raises:
        QueryError: it is no such HTML; says what to do.
    """
    import css_inline  # noqa: PLC0415 (definitions load without it)

    _check(source)
    if not re.search(r"<body\b", source, re.IGNORECASE):
        source = f"<!DOCTYPE html>\n<html><head><meta charset=utf-8></head><body>{source}</body></html>"
    hidden, words = _hidden(source)
    if any(piece[:6].lower() == "<style" and re.search(_word(words), piece) for piece, _ in _outside(hidden)):
        raise QueryError("there is Jinja in a style sheet; write the style itself")
    inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
    try:
        inlined = inliner.inline(_with_comments(hidden, words))
    except css_inline.InlineError as error:
        raise QueryError("its styles cannot be read; correct its style sheet") from error
    shown = _shown(re.sub(f"<!--({_word(words)})-->", r"\1", inlined), words)
    if [tag for tag, is_jinja in tags(shown) if is_jinja] != list(words.values()):
        raise QueryError(
            "tags of Jinja stand where HTML has no place for them and would be moved or lost; put them into elements"
        )
    return shown


def text_of(source: str) -> str:
    """The text of the HTML, with the addresses of its links."""
    from inscriptis import get_text  # noqa: PLC0415 (definitions load without it)
    from inscriptis.model.config import ParserConfig  # noqa: PLC0415 (definitions load without it)

    _check(source)
    hidden, words = _hidden(source)
    try:
        text = get_text(hidden, ParserConfig(display_links=True)).strip()
    except (ValueError, RecursionError) as error:
        raise QueryError("no text can be made of its HTML; give a text of its own") from error
    there = re.findall(_word(words), text)
    conditions = {word for word, tag in words.items() if tag.startswith("{%")}
    between = conditions & _between_elements(hidden, words)
    in_order = there == [word for word in words if word in set(there)]
    if not in_order or not between <= set(there) or _Rows.without_cell(hidden, conditions):
        raise QueryError(
            "the text of its HTML loses conditions, as between the rows of a table; give a text of its own"
        )
    # Tables that only lay out would indent it.
    lines = (line.strip() for line in text.splitlines())
    return _shown(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)), words) + "\n"


def _hidden(source: str) -> tuple[str, dict[str, str]]:
    """The source with a word in place of each tag of Jinja, and the tag of each word, in their order."""
    prefix = f"j{sha256(source.encode()).hexdigest()[:12]}x"
    words: dict[str, str] = {}
    hidden = []
    for piece, is_jinja in tags(source):
        if is_jinja:
            word = f"{prefix}{len(words)}z"
            words[word] = piece
            hidden.append(word)
        else:
            hidden.append(piece)
    return "".join(hidden), words


def _word(words: dict[str, str]) -> str:
    """A pattern of all words; one that matches nothing where there are none."""
    return rf"{next(iter(words))[:14]}\d+z" if words else r"(?!)"


def _shown(hidden: str, words: dict[str, str]) -> str:
    """The tags in place of their words; a word that stood as an attribute was given a value."""
    return re.sub(rf'({_word(words)})(?:="")?', lambda found: words[found[1]], hidden)


def _outside(hidden: str) -> Iterator[tuple[str, bool]]:
    """The pieces of HTML in their order, each with whether it stands between elements."""
    done = 0
    for inside in _INSIDE.finditer(hidden):
        yield hidden[done : inside.start()], True
        yield inside[0], False
        done = inside.end()
    yield hidden[done:], True


def _between_elements(hidden: str, words: dict[str, str]) -> set[str]:
    return {word for piece, outside in _outside(hidden) if outside for word in re.findall(_word(words), piece)}


def _with_comments(hidden: str, words: dict[str, str]) -> str:
    """The words between elements as comments, which HTML allows everywhere."""
    word = re.compile(_word(words))
    return "".join(word.sub(r"<!--\g<0>-->", piece) if outside else piece for piece, outside in _outside(hidden))


class _Depth(HTMLParser):
    """How deep elements are nested at most: parsers of HTML crash or lose what is nested deeper than any mail."""

    def __init__(self) -> None:
        super().__init__()
        self.open: Counter[str] = Counter()
        self.deepest = 0
        self.unwanted: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _NOT_IN_MAIL:
            self.unwanted = self.unwanted or tag
        if tag not in _NOT_NESTED:
            self.open[tag] += 1
            self.deepest = max(self.deepest, self.open.total())

    def handle_endtag(self, tag: str) -> None:
        if self.open[tag]:
            self.open[tag] -= 1


def _check(source: str) -> None:
    depth = _Depth()
    depth.feed(source)
    if depth.deepest > _MAX_DEPTH:
        raise QueryError(f"elements are nested more than {_MAX_DEPTH} deep; close each of them")
    if depth.unwanted:
        raise QueryError(f"there is an element <{depth.unwanted}>, which mail readers drop or distrust; take it out")


class _Rows(HTMLParser):
    """Finds words between the rows and cells of tables, which text has no place for."""

    def __init__(self, words: set[str]) -> None:
        super().__init__()
        self._words = words
        self._open: list[str] = []
        self.found = False

    @classmethod
    def without_cell(cls, hidden: str, words: set[str]) -> bool:
        """Whether one of the words is in a table and in none of its cells."""
        rows = cls(words)
        rows.feed(hidden)
        rows.close()
        return rows.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _TABLE:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            del self._open[len(self._open) - 1 - self._open[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        in_no_cell = bool(self._open) and self._open[-1] not in _CELLS
        self.found = self.found or (in_no_cell and any(word in data for word in self._words))
