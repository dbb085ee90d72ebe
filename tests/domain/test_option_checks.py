import pytest

from flowforge.option_checks import check_amount, check_name, check_share, check_whole_number
from flowforge.option_errors import OptionError


def test_checked_numbers_come_back_in_their_own_type() -> None:
    assert check_whole_number("Flow", "size", 3, least=1) == 3
    assert isinstance(check_amount("Flow", "timeout", 3), float)
    assert isinstance(check_share("Flow", "watermark", 1), float)
    assert check_name("Flow", "name", "a") == "a"


def test_the_least_whole_number_is_named() -> None:
    with pytest.raises(OptionError, match=r"^Flow cannot take size=1\. Give a whole number, 2 or more\.$"):
        check_whole_number("Flow", "size", 1, least=2)


def test_zero_is_an_amount_unless_it_is_not_allowed() -> None:
    assert check_amount("Flow", "timeout", 0) == 0.0
    with pytest.raises(OptionError, match=r"^Flow cannot take timeout=0\. Give a finite number above 0\.$"):
        check_amount("Flow", "timeout", 0, is_zero_allowed=False)
