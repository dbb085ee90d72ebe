"""How a payload meets a handler."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from flowforge.binding import (
    HandlerKind,
    HandlerShape,
    Shapes,
    check_parameters,
    compile_call,
    handler_kind,
    shape_of,
)
from flowforge.graph_errors import HandlerNotCallableError, PayloadMismatchError


def call(handler: Callable[..., object], **payload: Any) -> object:
    return compile_call(handler, shape_of(handler), "worker.input")(payload)


def give_back(**what: Any) -> dict[str, Any]:
    return what


def test_a_parameter_gets_the_value_of_its_name() -> None:
    assert call(lambda data: data, data=1, other=2) == 1


def test_a_single_parameter_of_another_name_gets_the_only_value() -> None:
    assert call(lambda data: data, result=1) == 1


def test_a_single_parameter_gets_the_whole_of_a_larger_payload() -> None:
    assert call(lambda data: data, a=1, b=2) == {"a": 1, "b": 2}


def test_a_single_parameter_gets_an_empty_payload_as_it_is() -> None:
    assert call(lambda data: data) == {}


def test_a_single_parameter_keeps_its_default_for_an_empty_payload() -> None:
    assert call(lambda data=7: data) == 7
    assert call(lambda data=7: data, x=1) == 1


def test_a_single_keyword_only_parameter_is_served_like_any_other() -> None:
    def handler(*, data: object) -> object:
        return data

    assert [call(handler, data=1), call(handler, x=2), call(handler, a=1, b=2)] == [1, 2, {"a": 1, "b": 2}]


def test_a_handler_that_changes_its_payload_leaves_the_message_alone() -> None:
    def handler(payload: dict[str, int]) -> None:
        payload.clear()

    message = {"a": 1, "b": 2}

    compile_call(handler, shape_of(handler), "worker.input")(message)

    assert message == {"a": 1, "b": 2}


def test_a_handler_without_parameters_is_called_bare() -> None:
    assert call(lambda: "called", data=1) == "called"


def test_variable_keywords_get_everything() -> None:
    assert call(lambda **everything: everything, a=1, b=2) == {"a": 1, "b": 2}


def test_variable_keywords_get_what_named_parameters_leave() -> None:
    assert call(lambda a, **rest: (a, rest), a=1, b=2) == (1, {"b": 2})


def test_several_parameters_get_their_keys_and_no_others() -> None:
    assert call(lambda a, b: (a, b), b=2, a=1, c=3) == (1, 2)


def test_variable_positionals_are_ignored() -> None:
    assert call(lambda a, *more: (a, more), a=1, b=2) == (1, ())


def test_defaults_stand_in_for_missing_keys() -> None:
    def handler(a: int, b: int = 10, *, c: int, d: int = 20) -> tuple[int, ...]:
        return (a, b, c, d)

    assert call(handler, a=1, c=3) == (1, 10, 3, 20)
    assert call(handler, a=1, c=3, d=4, unknown=5) == (1, 10, 3, 4)


def test_positional_only_parameters_are_passed_by_position() -> None:
    def handler(a: int, b: int = 10, /, c: int = 20, *, d: int = 30) -> tuple[int, ...]:
        return (a, b, c, d)

    assert call(handler, a=1, b=2, c=3, d=4) == (1, 2, 3, 4)
    assert call(handler, a=1, d=4, unknown=5) == (1, 10, 20, 4)


def test_a_default_before_a_given_positional_only_value_is_kept() -> None:
    def handler(a: int = 10, b: int = 20, /) -> tuple[int, int]:
        return (a, b)

    assert call(handler, b=2, c=3) == (10, 2)


def test_positional_only_names_do_not_reach_variable_keywords() -> None:
    def handler(a: int, /, **rest: int) -> tuple[int, dict[str, int]]:
        return (a, rest)

    assert call(handler, a=1, b=2) == (1, {"b": 2})


@pytest.mark.parametrize(
    "handler",
    [
        lambda size, limit: None,
        lambda size, limit=1: None,
        lambda size, /, limit=1: None,
        lambda size, **rest: None,
    ],
)
def test_a_missing_parameter_names_slot_parameters_and_keys(handler: Callable[..., object]) -> None:
    message = r"slot 'worker.input' has the parameters 'size'.*with the keys 'limit', 'other' lacks 'size'\. Emit"
    with pytest.raises(PayloadMismatchError, match=message):
        call(handler, limit=1, other=2)


def test_a_key_error_of_the_handler_itself_passes_through() -> None:
    def handler(a: dict[str, int], b: int) -> int:
        return a["lost"] + b

    with pytest.raises(KeyError, match="lost"):
        call(handler, a={}, b=1)


def test_a_method_is_called_without_asking_for_self() -> None:
    class Worker:
        def handle(self, data: int) -> int:
            return data + 1

    assert call(Worker().handle, data=1) == 2


def test_a_builtin_without_signature_counts_as_one_parameter() -> None:
    assert shape_of(max).is_single
    assert call(max, numbers=[1, 3, 2]) == 3


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(HandlerNotCallableError, match=r"'process' cannot be called\. Give a function"):
        shape_of("process")  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("takes", ["*args, **kwargs", "**kwargs", "*args"])
def test_a_decorated_handler_has_the_parameters_of_what_it_wraps(takes: str) -> None:
    def handler(a: int, b: int) -> tuple[int, int]:
        return (a, b)

    scope: dict[str, Any] = {"handler": handler}
    exec(f"def wrapper({takes}): return handler({takes})", scope)

    assert call(functools.wraps(handler)(scope["wrapper"]), a=1, b=2, c=3) == (1, 2)


def test_a_decorator_with_parameters_of_its_own_is_taken_at_its_word() -> None:
    def handler(a: int, b: int) -> tuple[int, int]:
        return (a, b)

    @functools.wraps(handler)
    def with_default(a: int) -> tuple[int, int]:
        return handler(a, 5)

    assert call(with_default, a=1) == (1, 5)


def test_a_shape_serves_every_function_with_the_same_code() -> None:
    def handler_with(default: int) -> Callable[..., object]:
        def handler(a: int = default, /, *, b: int) -> tuple[int, int]:
            return (a, b)

        return handler

    shape = shape_of(handler_with(1))

    assert compile_call(handler_with(2), shape, "worker.input")({"b": 3}) == (2, 3)


class Doubler:
    def __call__(self, number: int) -> int:
        return 2 * number

    def method(self, number: int) -> int:
        return 2 * number


@pytest.mark.parametrize(
    ("first", "second"),
    [(Doubler().method, Doubler().method), (Doubler(), Doubler()), (give_back, give_back)],
)
def test_a_shape_that_was_read_before_is_used_again(
    first: Callable[..., object], second: Callable[..., object]
) -> None:
    shapes: Shapes = {}

    assert shape_of(first, shapes) is shape_of(second, shapes)


def test_a_method_and_its_function_have_shapes_of_their_own() -> None:
    shapes: Shapes = {}

    assert shape_of(Doubler().method, shapes).parameters == ("number",)
    assert shape_of(Doubler.method, shapes).parameters == ("self", "number")


def test_two_functions_with_the_same_wrapper_have_shapes_of_their_own() -> None:
    def wrapped(handler: Callable[..., object]) -> Callable[..., object]:
        return functools.wraps(handler)(lambda *args: handler(*args))  # noqa: PLW0108 - the wrapper is the point

    shapes: Shapes = {}

    assert shape_of(wrapped(lambda a: a), shapes).parameters == ("a",)
    assert shape_of(wrapped(lambda a, b: a), shapes).parameters == ("a", "b")
    assert shape_of(functools.partial(give_back, a=1), shapes).takes_all


def shape_with(*required: str, optional: tuple[str, ...] = ()) -> HandlerShape:
    names = (*required, *optional)
    return HandlerShape(names, required, names, (), takes_all=False, kind=HandlerKind.PLAIN)


def test_missing_parameters_are_listed_in_order() -> None:
    assert check_parameters(shape_with("a", "b", "c", optional=("d",)), {"b"}) == ["a", "c"]


def test_a_single_parameter_is_never_missing() -> None:
    assert check_parameters(shape_with("a"), {"x", "y"}) == []


def generator(data: int) -> Iterator[int]:
    yield data


async def coroutine(data: int) -> int:
    return data


async def async_generator(data: int) -> AsyncIterator[int]:
    yield data


class CallableGenerator:
    def __call__(self) -> Iterator[int]:
        yield 1


class AsyncWorker:
    async def handle(self) -> None: ...

    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (give_back, HandlerKind.PLAIN),
        (max, HandlerKind.PLAIN),
        (Doubler(), HandlerKind.PLAIN),
        (generator, HandlerKind.GENERATOR),
        (CallableGenerator(), HandlerKind.GENERATOR),
        (functools.partial(generator, 1), HandlerKind.GENERATOR),
        (coroutine, HandlerKind.ASYNC),
        (AsyncWorker().handle, HandlerKind.ASYNC),
        (functools.partial(functools.partial(AsyncWorker())), HandlerKind.ASYNC),
        (async_generator, HandlerKind.ASYNC_GENERATOR),
    ],
)
def test_the_kind_of_a_handler_is_seen_through_wrappings(handler: Callable[..., object], kind: HandlerKind) -> None:
    assert handler_kind(handler) is kind
    assert shape_of(handler).kind is kind


def test_a_shape_reads_every_kind_of_parameter() -> None:
    def handler(a: int, /, b: int, c: int = 0, *args: int, d: int, e: int = 0, **rest: int) -> None: ...

    shape = shape_of(handler)

    assert shape.parameters == ("a", "b", "c", "d", "e")
    assert shape.required == ("a", "b", "d")
    assert (shape.positional, shape.positional_only, shape.takes_all) == (("a", "b", "c"), ("a",), True)
    assert set(shape.parameters) < set(inspect.signature(handler).parameters)
