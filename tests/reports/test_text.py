"""Numbers and lists in sentences."""

from fastnet.reports.text import listed, number, percent, signed, table_number


def test_texts():
    assert [number(v) for v in (0.5, 12.34, 1234567, -0.00012)] == ["0.500", "12.3", "1.2 × 10⁶", "−1.2 × 10⁻⁴"]
    assert table_number(None) == signed(None) == percent(None) == "–"
    assert signed(-1.5, 2) == "−1.50" and percent(0.123) == "12.3%"
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "none",
        "a",
        "a and b",
        "a, b and c",
    ]
