"""The registry of one runtime, and pykka's own with many actors in it."""

import threading

import pytest

from actors.errors import DuplicateUrnError
from actors.pooled_actor import PooledActor
from actors.pooled_ref import PooledActorRef
from actors.pykka_door import ActorRegistry, OrderedRefs, SharedRegistry, ThreadingActor
from actors.registry import Registry
from actors.testing.stepped_dispatcher import SteppedDispatcher


class CountingRef(PooledActorRef[PooledActor]):
    """Counts how often it is compared with another one."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        CountingRef.comparisons += 1
        return self is other

    __hash__ = object.__hash__


def new_ref(urn: str, stepped: SteppedDispatcher) -> CountingRef:
    return CountingRef(PooledActor(dispatcher=stepped, urn=urn))


def test_a_registry_lists_actors_in_order_of_their_start(stepped: SteppedDispatcher) -> None:
    registry = Registry()
    refs = [PooledActor.start(dispatcher=stepped, registry=registry) for _ in range(3)]

    assert registry.get_all() == refs
    assert len(registry) == 3
    assert registry.get_by_urn(refs[1].actor_urn) is refs[1]
    assert registry.get_by_urn("urn:unknown") is None


def test_a_stopped_actor_leaves_its_registry(stepped: SteppedDispatcher) -> None:
    registry = Registry()
    refs = [PooledActor.start(dispatcher=stepped, registry=registry) for _ in range(3)]
    refs[1].stop()

    assert registry.get_all() == [refs[0], refs[2]]
    registry.unregister(refs[1])


def test_two_registries_do_not_meet(stepped: SteppedDispatcher) -> None:
    first, second = Registry(), Registry()
    ref = PooledActor.start(dispatcher=stepped, registry=first)

    assert first.get_all() == [ref]
    assert second.get_all() == ActorRegistry.get_all() == []


def test_a_urn_is_used_once_at_a_time(stepped: SteppedDispatcher) -> None:
    registry = Registry()
    old, new = new_ref("urn:x", stepped), new_ref("urn:x", stepped)
    registry.register(old)

    with pytest.raises(DuplicateUrnError, match=r"urn 'urn:x' is running already\. Give each actor"):
        registry.register(new)
    registry.unregister(new)
    assert registry.get_by_urn("urn:x") is old


# docs/pykka.md: "Registry"


def test_five_thousand_stops_compare_no_references(stepped: SteppedDispatcher) -> None:
    refs = OrderedRefs()
    numbered = [new_ref(f"urn:{number}", stepped) for number in range(5_000)]
    for ref in numbered:
        refs.append(ref)
    CountingRef.comparisons = 0
    for ref in reversed(numbered):
        assert ref in refs
        refs.remove(ref)

    assert CountingRef.comparisons == 0
    assert len(refs) == 0


def test_ordered_refs_behave_like_the_list_they_replace(stepped: SteppedDispatcher) -> None:
    first, second, third = (new_ref(f"urn:{number}", stepped) for number in range(3))
    refs = OrderedRefs([first, second])
    refs.append(third)
    refs.append(third)

    assert refs[:] == list(refs) == [first, second, third, third]
    assert refs[0] is first
    refs.remove(third)
    assert refs[1:] == [second, third]
    refs.remove(third)
    with pytest.raises(ValueError, match=r"PooledActor \(urn:2\)"):
        refs.remove(third)


def test_pykkas_own_actors_share_the_faster_registry(stepped: SteppedDispatcher) -> None:
    threaded = ThreadingActor.start()
    pooled = PooledActor.start_on(stepped)

    assert isinstance(vars(ActorRegistry)["_actor_refs"], OrderedRefs)
    assert ActorRegistry.get_all() == [threaded, pooled]
    threaded.stop()
    assert ActorRegistry.get_all() == [pooled]


def test_a_list_put_back_by_others_is_taken_over_again(
    stepped: SteppedDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = new_ref("urn:earlier", stepped)
    monkeypatch.setattr(ActorRegistry, "_actor_refs", [ref])
    later = new_ref("urn:later", stepped)
    SharedRegistry.register(later)

    assert ActorRegistry.get_all() == [ref, later]


def test_many_threads_register_and_unregister_at_once(stepped: SteppedDispatcher) -> None:
    def churn() -> None:
        for number in range(200):
            ref = new_ref(f"urn:{number}", stepped)
            SharedRegistry.register(ref)
            SharedRegistry.unregister(ref)

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert ActorRegistry.get_all() == []
