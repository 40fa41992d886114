import pytest

from experiments.display.quantities import human, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("200M", 2e8),
        ("1.4b", 1.4e9),
        ("1e21", 1e21),
        (" 3k ", 3e3),
        ("2T", 2e12),
        ("209_715_200", 209_715_200),
        ("16,384", 16_384),
        (".5G", 5e8),
    ],
)
def test_numbers_as_people_write_them(text, value):
    assert parse_quantity(text, name="--params") == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "M", "200 MB", "-3", "0", "1e400", "nan", "2.3.4", "12x"])
def test_what_is_no_number_is_refused_by_name(text):
    with pytest.raises(ValueError, match="--params must be a number above 0"):
        parse_quantity(text, name="--params")


@pytest.mark.parametrize("value", [1.0, 512, 16_400, 2e8, 1.4e9, 3e14])
def test_what_is_written_is_read_back(value):
    assert parse_quantity(human(value), name="x") == pytest.approx(value, rel=5e-3)
