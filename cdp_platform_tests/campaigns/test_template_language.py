"""What a template may say. Attacks are those that are known of Jinja and its sandbox, and what only takes memory."""

import subprocess
import sys
import time
from typing import Any

import pytest

from cdp_platform.campaigns.template_language import MAX_OUTPUT, NoMessageError, rendering, value
from cdp_platform.errors import QueryError

KNOWN = frozenset({"first_name", "city"})


def rendered(source: str, *, html: bool = False, **values: Any) -> str:
    return "".join(rendering(source, KNOWN, html=html).pieces(values))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        # Out of the sandbox.
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "line 1: "),
        ("{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('id').read() }}", "line 1: "),
        ("{{ cycler.__init__.__globals__.os }}", "line 1: "),
        ("{{ lipsum.__globals__['os'].system('id') }}", "line 1: "),
        ("{{ first_name.__init__ }}", "line 1: there is a part of a value"),
        ("{{ first_name['__init__'] }}", "line 1: there is a part of a value"),
        # CVE-2016-10745, CVE-2019-10906, CVE-2024-56326, CVE-2025-27516: by the format of a text.
        ("{{ '{0.__class__}'.format(first_name) }}", "line 1: there is a call"),
        ("{{ '{a.__class__}'.format_map({'a': 1}) }}", "line 1: there is a call"),
        ("{% set f = '{0.__class__}'.format %}{{ f(1) }}", "line 1: there is a variable of its own"),
        ("{{ ('{0.__class__}'|attr('format'))(1) }}", "line 1: there is a call"),
        ("{{ first_name|attr('format') }}", "line 1: No filter named 'attr'"),
        ("{% include '/etc/passwd' %}", "line 1: there is an inclusion"),
        ("{% import 'os' as os %}", "line 1: there is an import"),
        ("{% extends 'base' %}", "line 1: there is an inheritance"),
        ("{% autoescape false %}{{ first_name }}{% endautoescape %}", "line 1: "),
        ("{{ first_name|safe }}", "line 1: No filter named 'safe'"),
        # Into memory and time.
        ("{{ '%100000000s'|format(1) }}", "line 1: No filter named 'format'"),
        ("{{ '%100000000s' % 1 }}", "line 1: "),
        ("{{ 'x' * 10**9 }}", "line 1: "),
        ("{{ 10**9**9 }}", "line 1: "),
        ("{{ 'a'.ljust(10**9) }}", "line 1: there is a call"),
        ("{{ first_name|center(1000000000) }}", "line 1: No filter named 'center'"),
        ("{{ first_name|indent(1000000000) }}", "line 1: No filter named 'indent'"),
        ("{{ first_name|replace('a', 'aaaa') }}", "line 1: No filter named 'replace'"),
        ("{{ first_name|wordwrap(1) }}", "line 1: No filter named 'wordwrap'"),
        ("{{ first_name ~ first_name }}", "line 1: there is `~`"),
        (
            "\n{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
            "line 2: there is a loop",
        ),
        ("{% for a in first_name recursive %}{{ loop(a) }}{% endfor %}", "line 1: "),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "line 1: "),
        ("{% call(x) first_name() %}{% endcall %}", "line 1: "),
        ("{% filter upper %}x{% endfilter %}", "line 1: "),
        ("{% block a %}{% endblock %}", "line 1: "),
        ("{{ [1, 2] }}", "line 1: "),
        ("{{ {'a': 1} }}", "line 1: "),
        ("{{ 1e308 }}", "line 1: there is a number with a fraction"),
        # Mistakes.
        ("{{ frist_name }}", "line 1: there is no variable 'frist_name'; first_name may be meant"),
        ("{{ document }}", "line 1: there is no variable 'document'; choose one of city, first_name"),
        ("{{ first_name", "line 1: unexpected end of template"),
        ("a\n{% if first_name %}", "Unexpected end of template"),
        ("{# no end", "line 1: Missing end of comment tag"),
    ],
)
@pytest.mark.parametrize("html", [False, True])
def test_what_is_not_of_the_language_is_refused_with_its_line(source: str, problem: str, html: bool) -> None:
    with pytest.raises(QueryError) as raised:
        rendering(source, KNOWN, html=html)
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)


_NESTED = [
    "'{{ ' + '(' * 50_000 + '1' + ')' * 50_000 + ' }}'",
    "'{{ first_name' + '|upper' * 30_000 + ' }}'",
    "'{{ ' + 'not ' * 40_000 + 'city }}'",
    "'{% if city %}' * 10_000 + '{% endif %}' * 10_000",
    "'{{ ' + '9' * 150_000 + ' }}'",
    "'{{ ' + ' or '.join(['city'] * 20_000) + ' }}'",
    "'{{ city ' + 'if city else city ' * 8_000 + '}}'",
]


@pytest.mark.parametrize("source", _NESTED)
def test_what_is_nested_deep_is_refused_and_does_not_end_the_process(source: str) -> None:
    # In a process of its own, which would be gone if the stack of the interpreter were used up.
    code = (
        "from cdp_platform.campaigns.template_language import rendering\n"
        "from cdp_platform.errors import QueryError\n"
        f"try: rendering({source}, frozenset(['first_name', 'city']), html=True)\n"
        "except QueryError as error: print('refused:', error)\n"
        "else: print('taken')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.startswith("refused: ")


@pytest.mark.parametrize(
    "source",
    [
        "{{ first_name|upper }}" * 9_000,
        "{% if first_name|lower == city|upper %}x{% endif %}" * 3_900,
        "x" * 200_000,
        "{{ first_name|default('" + "y" * 199_000 + "') }}",
        "{{ first_name|truncate(1000000000) }}" * 5_000,
    ],
)
def test_the_largest_templates_take_little_time_and_end_at_the_limit_of_a_message(source: str) -> None:
    part = rendering(source, KNOWN, html=True)
    problem = ""
    began = time.process_time()
    try:
        assert sum(map(len, part.pieces({"first_name": "ß" * 1000, "city": "c" * 1000}))) <= MAX_OUTPUT
    except NoMessageError as error:
        problem = str(error)
    assert time.process_time() - began < 2
    assert problem in {"", f"the message has more than {MAX_OUTPUT} characters"}


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("{{ first_name }}", "An"),
        ("{{ first_name|upper }} {{ first_name|lower|capitalize }}", "AN An"),
        ("{{ city|default('here') }} {{ city|d('there')|title }}", "here There"),
        ("{{ city or first_name }}", "An"),
        ("{{ first_name if first_name else 'you' }} {{ city if city else 'you' }}", "An you"),
        ("{% if city %}a{% elif first_name == 'An' %}b{% else %}c{% endif %}", "b"),
        ("{% if city is defined %}a{% else %}b{% endif %}", "b"),
        ("{% if city == 'Huế' %}a{% else %}b{% endif %}", "b"),
        ("{% if first_name in 'An Binh' and not city %}a{% endif %}", "a"),
        ("{{ 'abcdefgh'|truncate(3, true, '.', 0) }}", "ab."),
        ("{# a comment #}{% raw %}{{ as it is }}{% endraw %}", "{{ as it is }}"),
        ("{% if first_name %}\na\n{% endif %}\nb", "a\nb"),
    ],
)
def test_what_is_of_the_language_is_rendered(source: str, shown: str) -> None:
    assert rendered(source, first_name="An") == shown


@pytest.mark.parametrize("source", ["{{ city }}", "{{ city|upper }}", "{% if city %}{% else %}{{ city }}{% endif %}"])
def test_a_value_that_is_missing_is_never_printed_as_something_else(source: str) -> None:
    with pytest.raises(NoMessageError, match="'city' is undefined"):
        rendered(source, first_name="An")


@pytest.mark.parametrize("source", ["{{ first_name < 5 }}", "{{ 5 in first_name }}"])
def test_a_comparison_that_cannot_be_made_fails_the_message_and_not_the_batch(source: str) -> None:
    with pytest.raises(NoMessageError, match="compares what cannot be compared"):
        rendered(source, first_name="An")


def test_html_is_escaped_in_html_and_nowhere_else() -> None:
    assert rendered("<p>{{ first_name }}", html=True, first_name="<b>&'\"") == "<p>&lt;b&gt;&amp;&#39;&#34;"
    assert rendered("<p>{{ first_name }}", first_name="<b>") == "<p><b>"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("  An\t Binh ", "An Binh"),
        ("An\r\nBcc: x", "An Bcc: x"),
        ("An\x00\x1b[31m", "An [31m"),
        ("👩‍👧 Ông", "👩‍👧 Ông"),
        (42, "42"),
        ("", None),
        (" \n ", None),
        (None, None),
    ],
)
def test_a_value_is_one_line_and_a_blank_one_is_missing(given: object, shown: str | None) -> None:
    assert value(given) == shown
