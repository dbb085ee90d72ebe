import json

from hypothesis import given
from hypothesis import strategies as st

from flowforge.error_handler import ErrorHandler, ErrorStrategy

DELAYS = st.floats(0, 1e9)
ERRORS = st.sampled_from([ValueError, OSError, ConnectionError, KeyError, SystemExit])
HANDLERS = st.builds(
    ErrorHandler,
    st.sampled_from(ErrorStrategy),
    max_retries=st.integers(0, 50),
    retry_delay=DELAYS,
    retry_backoff=DELAYS,
    max_delay=DELAYS,
    jitter=st.floats(0, 1),
    retryable_exceptions=st.lists(ERRORS, max_size=3),
    on_exhausted=st.sampled_from([ErrorStrategy.STOP, ErrorStrategy.SKIP, ErrorStrategy.CONTINUE]),
)
FAILURES = st.integers(1, 100)
DRAWS = st.floats(0, 1, exclude_max=True)


@given(HANDLERS, ERRORS, FAILURES, DRAWS)
def test_only_a_retry_has_a_delay_and_it_is_bounded(
    handler: ErrorHandler, error: type[BaseException], failures: int, draw: float
) -> None:
    decision = handler.decide(error(), failures, draw)

    if decision.strategy is ErrorStrategy.RETRY:
        assert 0 <= decision.delay <= handler.max_delay * (1 + handler.jitter)
    else:
        assert decision.delay == 0


@given(HANDLERS, ERRORS)
def test_every_message_is_decided_on_after_finitely_many_retries(
    handler: ErrorHandler, error: type[BaseException]
) -> None:
    strategies = [handler.decide(error(), failures).strategy for failures in range(1, handler.max_retries + 2)]

    retried = [strategy is ErrorStrategy.RETRY for strategy in strategies]
    assert not retried[-1]
    assert all(retried[:-1]) or not any(retried)


@given(HANDLERS, FAILURES, DRAWS)
def test_delays_never_shrink_when_the_backoff_is_at_least_one(
    handler: ErrorHandler, failures: int, draw: float
) -> None:
    options = {
        **handler.to_dict(),
        "strategy": "retry",
        "max_retries": 101,
        "retryable_exceptions": ["Exception"],
    }
    options["retry_backoff"] = max(1.0, handler.retry_backoff)
    patient = ErrorHandler.from_dict(options)

    earlier, later = (patient.decide(ValueError(), n, draw).delay for n in (failures, failures + 1))

    assert earlier <= later


@given(HANDLERS)
def test_a_handler_survives_json(handler: ErrorHandler) -> None:
    assert ErrorHandler.from_dict(json.loads(json.dumps(handler.to_dict()))) == handler
