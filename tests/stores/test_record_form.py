"""Records as bytes: each kind comes back equal, and whatever is no record is refused."""

import contextlib
from typing import Any, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowforge.records import (
    RECORD_VERSION,
    DeadLetterPurged,
    Delivery,
    Destination,
    ErrorInfo,
    FlowFingerprint,
    InitialState,
    JobClosed,
    JobMoved,
    Message,
    MessagePosted,
    Output,
    Record,
    RoutineFingerprint,
    SharedChange,
    StepCommitted,
    Timer,
)
from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import DecodeError, UnencodableValueError
from flowforge.stores.lazy_records import LazyRecords, encoded_records, last_index
from flowforge.stores.record_form import decode_record, encode_record
from flowforge.structs import MsgpackDecoder, MsgpackEncoder, replace

# The time that a shared machine takes for an example is no failure.
few = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])

CODEC = Codec()
JOB = "job"

ids = st.integers(0, 2**128 - 1)
counts = st.integers(0, 2**40)
seconds = st.floats(allow_nan=False)
texts = st.text(max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.binary(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.tuples(inner, inner)
        | st.dictionaries(texts, inner, max_size=3)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=3,
)
payloads = st.dictionaries(texts, values, max_size=3)
messages = st.builds(
    Message,
    id=ids,
    job=st.just(JOB),
    source=texts,
    payload=payloads,
    at=seconds,
    correlation=ids,
    causation=ids,
    attempt=counts,
    progress=counts,
    trace=st.none() | texts,
    key=st.none() | texts,
    is_merged=st.booleans(),
)
deliveries = st.builds(Delivery, st.builds(Destination, texts, texts), messages)
errors = st.builds(ErrorInfo, texts, texts, texts, st.none() | texts)


def several(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(parts, max_size=2).map(tuple)


def exactly_one(timer: Timer) -> bool:
    return (timer.delivery is None) != (timer.output is None)


outputs = st.builds(Output, texts, payloads, st.booleans())
timers = st.builds(Timer, ids, texts, seconds, seconds, st.none() | deliveries, st.none() | outputs).filter(exactly_one)

paths = st.lists(texts | st.integers(), min_size=1, max_size=3).map(tuple)
changes = (
    st.tuples(st.just("set"), paths, values)
    | st.tuples(st.just("del"), paths)
    | st.tuples(st.just("append"), paths, st.lists(values, max_size=2))
)

fingerprints = st.builds(
    FlowFingerprint,
    counts,
    several(st.builds(RoutineFingerprint, texts, several(texts), several(texts), counts)),
    several(st.tuples(texts, texts, several(st.tuples(texts, texts)))),
)

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "position": counts,
    "epoch": counts,
    "at": seconds,
    "due": seconds,
    "delay": seconds,
    "duration": seconds,
    "queued": seconds,
    "elapsed": seconds,
    "timeout": st.none() | seconds,
    "replica": st.integers(-1, 99),
    "is_final": st.booleans(),
    "is_repeatable": st.booleans(),
    "is_kept_alive": st.booleans(),
    "routine": texts,
    "slots": several(texts),
    "message": messages,
    "messages": several(messages),
    "delivery": deliveries,
    "deliveries": several(deliveries),
    "outputs": several(outputs),
    "shared": several(st.builds(SharedChange, texts, values, st.booleans())),
    "initial": several(st.builds(InitialState, texts, st.integers(-1, 9), payloads)),
    "error": errors,
    "state": several(changes),
    "shared_log": several(values),
    "checkpoint": values,
    "timers": several(timers),
    "fingerprint": st.none() | fingerprints,
    "base": st.binary(max_size=8),
}
PLAIN = {str: texts, int: ids, float: seconds, bool: st.booleans()}


def records(kind: type[Record]) -> st.SearchStrategy[Record]:
    hints = get_type_hints(kind)
    fields = {name: FIELDS[name] if name in FIELDS else PLAIN[hints[name]] for name in kind.__struct_fields__}
    return st.builds(kind, **fields)


any_record = st.sampled_from(Record.__subclasses__()).flatmap(records)


@pytest.mark.parametrize("kind", Record.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_kind_of_record_comes_back_equal(kind: type[Record]) -> None:
    @few
    @given(records(kind))
    def comes_back(record: Record) -> None:
        again = decode_record(encode_record(record, CODEC), JOB, CODEC)
        assert again == record
        assert type(again) is kind

    comes_back()


@few
@given(any_record, st.data())
def test_damaged_bytes_are_refused_or_another_record(record: Record, data: st.DataObject) -> None:
    encoded = bytearray(encode_record(record, CODEC))
    index = data.draw(st.integers(0, len(encoded) - 1))
    encoded[index] ^= data.draw(st.integers(1, 255))

    # No other error: what is damaged may happen to be a record, but never breaks the reader.
    with contextlib.suppress(DecodeError):
        assert isinstance(decode_record(bytes(encoded), JOB, CODEC), Record)


@few
@given(any_record, st.data())
def test_bytes_that_were_cut_off_are_refused(record: Record, data: st.DataObject) -> None:
    encoded = encode_record(record, CODEC)

    with pytest.raises(DecodeError, match=r"it is no record of a job \(.*\)\.$"):
        decode_record(encoded[: data.draw(st.integers(0, len(encoded) - 1))], JOB, CODEC)


@few
@given(st.binary(max_size=40))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="The data cannot be decoded"):
        decode_record(data, JOB, CODEC)


def test_another_version_is_refused_with_the_remedy() -> None:
    data = MsgpackEncoder().encode([RECORD_VERSION + 1, "JobClosed", [1, 0.0, 1]])

    text = rf"it is a record of version {RECORD_VERSION + 1}\. Read it with the program that wrote it\."
    with pytest.raises(DecodeError, match=text):
        decode_record(data, JOB, CODEC)


@pytest.mark.parametrize(
    "parts",
    [
        3,
        [],
        [RECORD_VERSION],
        [RECORD_VERSION, "Nothing", []],
        [RECORD_VERSION, "JobClosed", 3],
        [RECORD_VERSION, "JobClosed", []],
        [RECORD_VERSION, ["JobClosed"], [1, 0.0, 1]],
        [RECORD_VERSION, "MessagePosted", [1, 0.0, 1, [1, 2]]],
        [RECORD_VERSION, "MessagePosted", [1, 0.0, 1, "abc"]],
        [RECORD_VERSION, "StepCommitted", [1, 0.0, 1, "a", 0, "s", 7]],
    ],
)
def test_what_is_no_record_is_refused(parts: object) -> None:
    with pytest.raises(DecodeError, match="it is no record of a job"):
        decode_record(MsgpackEncoder().encode(parts), JOB, CODEC)


def test_a_field_that_an_older_version_lacks_gets_its_default() -> None:
    record = decode_record(MsgpackEncoder().encode([RECORD_VERSION, "JobMoved", [3, 1.5, 2, "paused"]]), JOB, CODEC)

    assert getattr(record, "status", None) == "paused"
    assert getattr(record, "checkpoint", 1) is None
    assert getattr(record, "initial", None) == ()


def test_a_value_that_the_codec_cannot_keep_is_refused_at_once() -> None:
    delivery = Delivery(Destination("a", "input"), Message(1, JOB, "", {"x": object()}, 0.0))
    record = MessagePosted(position=1, at=0.0, epoch=1, delivery=delivery)

    with pytest.raises(UnencodableValueError, match="object"):
        encode_record(record, CODEC)


def test_payloads_stay_encoded_for_whoever_only_looks() -> None:
    delivery = Delivery(Destination("a", "input"), Message(1, JOB, "", {"x": 1}, 0.0))
    record = MessagePosted(position=1, at=0.0, epoch=1, delivery=delivery)

    decoded: Any = MsgpackDecoder().decode(encode_record(record, CODEC))

    assert CODEC.encode({"x": 1}) in decoded[2][-1][2]


def test_a_bare_record_lacks_only_what_its_step_was_called_with() -> None:
    entry = Message(7, JOB, "a.out", {"x": 1}, 0.5, 3, 2, attempt=1, progress=4)
    sent = Message(8, JOB, "b.out", {"x": 2}, 1.0, 3, 7)
    facts: dict[str, Any] = {"position": 1, "at": 1.0, "epoch": 1, "routine": "b", "replica": 0, "slot": "input"}
    deliveries = (Delivery(Destination("c", "input"), sent),)
    step = StepCommitted(**facts, messages=(entry,), is_final=False, duration=0.1, queued=0.2, deliveries=deliveries)

    bare = decode_record(encode_record(step, CODEC), JOB, CODEC, is_bare=True)

    assert isinstance(bare, StepCommitted)
    assert replace(bare, messages=step.messages) == step
    assert [(m.id, m.payload, m.attempt, m.progress) for m in bare.messages] == [(7, {}, 1, 4)]


def test_the_last_record_of_a_kind_is_found_without_decoding() -> None:
    kinds = (JobClosed(position=1, at=0.0, epoch=1), DeadLetterPurged(position=2, at=0.0, epoch=1, letter="x"))
    records = [kinds[0], kinds[1], kinds[1], kinds[0], kinds[0]]
    decoded: list[bytes] = []

    def decode(data: bytes) -> Record:
        decoded.append(data)
        return decode_record(data, JOB, CODEC)

    lazy = LazyRecords([encode_record(record, CODEC) for record in records], decode)

    assert [last_index(found, DeadLetterPurged) for found in (records, lazy)] == [2, 2]
    assert [last_index(found, JobMoved) for found in (records, lazy)] == [-1, -1]
    assert decoded == []
    assert [list(lazy[3:]), lazy[1], len(lazy)] == [records[3:], records[1], 5]


@pytest.mark.parametrize("is_whole", [True, False])
def test_the_bytes_of_records_hold_what_was_put_apart(is_whole: bool) -> None:
    apart: dict[bytes, bytes] = {}
    delivery = Delivery(Destination("a", "input"), Message(1, JOB, "", {"x": "long" * 10}, 0.0))
    record = MessagePosted(position=1, at=0.0, epoch=1, delivery=delivery)
    data = encode_record(record, CODEC) if is_whole else encode_record(record, CODEC, apart, 10)

    lazy = LazyRecords([data], lambda data: decode_record(data, JOB, CODEC, apart), is_whole=is_whole)

    assert encoded_records(lazy, CODEC) == encoded_records([record], CODEC) == [encode_record(record, CODEC)]
    assert bool(apart) is not is_whole
