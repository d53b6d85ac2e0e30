"""Light markup."""

import pytest

from fastnet.reports.markup import formula, prose


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b & c", "a &lt; b &amp; c"),
        ("`a*b*c`", "<code>a*b*c</code>"),
        ("*one* and **two**", "<em>one</em> and <strong>two</strong>"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("[next](other.html#part)", '<a href="other.html#part">next</a>'),
        ("[bad](javascript:alert)", "[bad](javascript:alert)"),
        ("[out](https://example.org)", "[out](https://example.org)"),
        ("$x_1$", '<span class="formula"><var>x</var><sub>1</sub></span>'),
    ],
)
def test_prose(text, expected):
    assert prose(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max(0, z)", "max(0, <var>z</var>)"),
        ("w_{ij}", "<var>w</var><sub>ij</sub>"),
        ("0.25^{10}", "0.25<sup>10</sup>"),
        ("x^2 < 1", "<var>x</var><sup>2</sup> &lt; 1"),
        ("∂L/∂w_1", "∂<var>L</var>/∂<var>w</var><sub>1</sub>"),
    ],
)
def test_formula(text, expected):
    assert formula(text) == expected
