import dataclasses
import math
from typing import Any

import pytest

from flowforge.error_handler import Decision, ErrorHandler, ErrorStrategy, strategy_from
from flowforge.errors import FlowForgeError
from flowforge.option_errors import OptionError, UnknownChoiceError, UnknownExceptionNameError


class FlakyServiceError(Exception):
    """An exception that is not built in."""


STOP = Decision(ErrorStrategy.STOP)


def retry(**options: Any) -> ErrorHandler:
    return ErrorHandler(ErrorStrategy.RETRY, **options)


def test_a_handler_without_arguments_stops() -> None:
    assert ErrorHandler().decide(ValueError(), 1) == STOP


@pytest.mark.parametrize("strategy", ["stop", "continue", "skip"])
def test_all_strategies_but_retry_answer_with_themselves(strategy: str) -> None:
    handler = ErrorHandler(strategy)

    assert handler.decide(ValueError(), 7) == Decision(ErrorStrategy(strategy), 0.0)


@pytest.mark.parametrize("given", [ErrorStrategy.SKIP, "skip", "SKIP"])
def test_a_strategy_is_a_member_its_value_or_its_name(given: ErrorStrategy | str) -> None:
    assert ErrorHandler(given).strategy is ErrorStrategy.SKIP


def test_a_strategy_is_equal_to_its_text_and_prints_as_it() -> None:
    strategy = ErrorStrategy("retry")

    assert strategy == "retry"
    assert f"{strategy}" == "retry"


def test_delays_grow_by_the_backoff() -> None:
    handler = retry(retry_delay=0.5, retry_backoff=3.0)

    delays = [handler.decide(ValueError(), failures).delay for failures in (1, 2, 3)]

    assert delays == [0.5, 1.5, 4.5]


def test_no_delay_exceeds_the_maximum() -> None:
    handler = retry(max_retries=20, retry_delay=1.0, max_delay=5.0)

    assert handler.decide(ValueError(), 4).delay == 5.0


def test_jitter_adds_its_share_of_the_delay() -> None:
    handler = retry(retry_delay=10.0, jitter=0.5)

    assert handler.decide(ValueError(), 1, draw=0.0).delay == 10.0
    assert handler.decide(ValueError(), 1, draw=0.5).delay == 12.5


def test_a_backoff_beyond_all_floats_still_gives_the_maximum() -> None:
    handler = retry(max_retries=10**6, retry_delay=0.001, retry_backoff=10.0)

    assert handler.decide(ValueError(), 10**6).delay == 60.0


def test_no_delay_stays_none_however_large_the_backoff() -> None:
    handler = retry(max_retries=10**6, retry_delay=0.0, retry_backoff=10.0)

    assert handler.decide(ValueError(), 10**6).delay == 0.0


def test_retries_end_after_max_retries() -> None:
    handler = retry(max_retries=2)

    strategies = [handler.decide(ValueError(), failures).strategy for failures in (1, 2, 3)]

    assert strategies == [ErrorStrategy.RETRY, ErrorStrategy.RETRY, ErrorStrategy.STOP]


def test_no_retries_at_all_is_exhausted_at_once() -> None:
    assert retry(max_retries=0).decide(ValueError(), 1) == STOP


@pytest.mark.parametrize("last_resort", ["skip", "CONTINUE", ErrorStrategy.STOP])
def test_on_exhausted_follows_the_last_retry(last_resort: str) -> None:
    handler = retry(max_retries=1, on_exhausted=last_resort)

    assert handler.decide(ValueError(), 2) == Decision(ErrorStrategy(last_resort.lower()))


def test_an_exception_that_is_not_retryable_stops() -> None:
    handler = retry(retryable_exceptions=(OSError,), on_exhausted="skip")

    assert handler.decide(ConnectionError(), 1).strategy is ErrorStrategy.RETRY
    assert handler.decide(ValueError(), 1) == STOP


def test_leaving_the_interpreter_is_not_retryable_by_default() -> None:
    assert retry().decide(SystemExit(1), 1) == STOP


def test_a_single_exception_class_needs_no_tuple() -> None:
    assert retry(retryable_exceptions=OSError).retryable_exceptions == (OSError,)


def test_an_optional_routine_continues() -> None:
    assert ErrorHandler.optional() == ErrorHandler(ErrorStrategy.CONTINUE)


def test_an_optional_routine_may_skip() -> None:
    assert ErrorHandler.optional("skip").strategy is ErrorStrategy.SKIP


def test_an_optional_routine_that_retries_never_stops() -> None:
    handler = ErrorHandler.optional(ErrorStrategy.RETRY)

    assert handler.decide(SystemExit(1), 1).strategy is ErrorStrategy.RETRY
    assert handler.decide(ValueError(), 4) == Decision(ErrorStrategy.CONTINUE)


def test_an_optional_routine_cannot_stop_its_job() -> None:
    with pytest.raises(OptionError, match=r"^ErrorHandler.optional cannot take strategy='stop'\. Choose 'con"):
        ErrorHandler.optional("stop")


def test_a_critical_routine_retries_and_then_stops() -> None:
    handler = ErrorHandler.critical(max_retries=1, retry_delay=2.0, retry_backoff=1.5)

    assert handler == retry(max_retries=1, retry_delay=2.0, retry_backoff=1.5)
    assert handler.decide(ValueError(), 2) == STOP


def test_a_handler_never_changes() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        retry().max_retries = 9  # type: ignore[misc]  # What the test is about.


def test_an_unknown_strategy_lists_the_choices() -> None:
    with pytest.raises(
        UnknownChoiceError,
        match=r"^ErrorHandler cannot take strategy='ignore'\. "
        r"Choose one of 'stop', 'continue', 'retry', 'skip'\.$",
    ) as caught:
        ErrorHandler("ignore")

    assert caught.value.choices == ("stop", "continue", "retry", "skip")


@pytest.mark.parametrize("value", [None, 3, "", ["stop"]])
def test_what_is_no_text_is_no_strategy(value: object) -> None:
    with pytest.raises(UnknownChoiceError, match=r"^Routine 'a' cannot take strategy="):
        strategy_from(value, "strategy", owner="Routine 'a'")


def test_retrying_cannot_follow_exhausted_retries() -> None:
    with pytest.raises(OptionError, match=r"cannot take on_exhausted='retry'\. Choose 'stop', .* raise max_ret"):
        retry(on_exhausted="retry")


@pytest.mark.parametrize("value", [-1, 1.5, True, "3"])
def test_max_retries_is_a_count(value: Any) -> None:
    with pytest.raises(OptionError, match=r"cannot take max_retries=.*\. Give a whole number, 0 or more\.$"):
        retry(max_retries=value)


@pytest.mark.parametrize("option", ["retry_delay", "retry_backoff", "max_delay"])
@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan, True, "1"])
def test_delays_are_finite_and_not_negative(option: str, value: object) -> None:
    with pytest.raises(OptionError, match=rf"cannot take {option}=.*\. Give a finite number, 0 or more\.$"):
        retry(**{option: value})


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, False, "0"])
def test_jitter_is_a_share(value: Any) -> None:
    with pytest.raises(OptionError, match=r"cannot take jitter=.*\. Give a number from 0 to 1\.$"):
        retry(jitter=value)


@pytest.mark.parametrize("value", [int, (ValueError, 3), "ValueError", None])
def test_only_exception_classes_are_retryable(value: Any) -> None:
    with pytest.raises(OptionError, match=r"cannot take retryable_exceptions=.*\. Give exception classes\.$"):
        retry(retryable_exceptions=value)


def test_option_errors_are_value_errors_of_ours_with_their_facts() -> None:
    with pytest.raises(ValueError, match=r"max_retries=-1") as caught:
        retry(max_retries=-1)

    error = caught.value
    assert isinstance(error, FlowForgeError)
    assert isinstance(error, OptionError)
    assert (error.owner, error.option, error.value) == ("ErrorHandler", "max_retries", -1)


def test_a_handler_becomes_data_and_back() -> None:
    handler = retry(max_retries=5, jitter=0.2, retryable_exceptions=(OSError, KeyError), on_exhausted="skip")

    data = handler.to_dict()

    assert data["retryable_exceptions"] == ["OSError", "KeyError"]
    assert ErrorHandler.from_dict(data) == handler


def test_options_that_are_left_out_take_their_defaults() -> None:
    assert ErrorHandler.from_dict({"strategy": "retry"}) == retry()


def test_an_exception_of_the_users_is_restored_when_known() -> None:
    data = retry(retryable_exceptions=FlakyServiceError).to_dict()

    assert data["retryable_exceptions"] == [f"{FlakyServiceError.__module__}:FlakyServiceError"]
    assert ErrorHandler.from_dict(data, known=[FlakyServiceError]).retryable_exceptions == (FlakyServiceError,)


def test_an_unknown_exception_name_is_refused() -> None:
    data = retry(retryable_exceptions=FlakyServiceError).to_dict()

    with pytest.raises(UnknownExceptionNameError, match=r"FlakyServiceError' is not built in .* in `known`\.$"):
        ErrorHandler.from_dict(data)


@pytest.mark.parametrize("name", ["print", "int", 5])
def test_a_built_in_that_is_no_exception_is_refused(name: object) -> None:
    with pytest.raises(UnknownExceptionNameError, match=r"^The exception class .* is not built in"):
        ErrorHandler.from_dict({"retryable_exceptions": [name]})


def test_an_unknown_stored_option_lists_the_choices() -> None:
    with pytest.raises(UnknownChoiceError, match=r"from_dict cannot take option='retries'\. Choose one of 'str"):
        ErrorHandler.from_dict({"retries": 3})


def test_repr_shows_what_differs_from_the_defaults() -> None:
    handler = retry(max_retries=5, retryable_exceptions=(OSError, FlakyServiceError), on_exhausted="skip")

    assert repr(ErrorHandler()) == "ErrorHandler(ErrorStrategy.STOP)"
    assert repr(retry(retryable_exceptions=OSError)).endswith("retryable_exceptions=(OSError,))")
    assert repr(handler) == (
        "ErrorHandler(ErrorStrategy.RETRY, max_retries=5, "
        "retryable_exceptions=(OSError, FlakyServiceError), on_exhausted=ErrorStrategy.SKIP)"
    )
