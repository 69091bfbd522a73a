"""The memory of a failed inference, and heavy ones. The queue is in test_overload.py."""

import asyncio
import gc
import threading
import weakref

import pytest
from fastapi import HTTPException

from api.slots import InferenceSlots
from tests.api.test_overload import until


class Image:
    """An object that can have weak references."""


def fail(check, image):
    raise ValueError("damaged")


@pytest.fixture
def no_collector():
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("crowd", [1, 6])
def test_an_error_frees_its_image_without_the_garbage_collector(no_collector, crowd):
    slots = InferenceSlots(2, max_waiting=4, max_seconds=60)
    left = []

    async def infer():
        image = Image()
        left.append(weakref.ref(image))
        with pytest.raises(ValueError, match="damaged"):
            await slots.run(0, fail, image)

    async def infer_together():
        await asyncio.gather(*(infer() for _ in range(crowd)))
        await until(lambda: not slots.running and not any(image() for image in left))

    asyncio.run(infer_together())
    assert len(left) == crowd


HEAVY, LIGHT = 11, 10


def hold(slots_count, max_waiting, scenario):
    """Run a scenario with slots, and a function that starts a call that waits for its end."""
    slots = InferenceSlots(slots_count, max_waiting, max_seconds=60, heavy_pixels=LIGHT)
    gate = threading.Event()

    async def run():
        def start(pixels):
            return asyncio.create_task(slots.run(pixels, lambda check: gate.wait(60)))

        try:
            await scenario(slots, start, gate)
        finally:
            gate.set()

    asyncio.run(run())


@pytest.mark.parametrize(("count", "heavy_running"), [(1, 1), (2, 1), (4, 3)])
def test_heavy_calls_leave_a_slot_to_the_others(count, heavy_running):
    async def scenario(slots, start, gate):
        heavy = [start(HEAVY) for _ in range(5)]
        await until(lambda: slots.running == heavy_running)
        assert slots.waiting == 5 - heavy_running
        if count > 1:
            assert await slots.run(LIGHT, lambda check: "done") == "done"
            assert not any(call.done() for call in heavy)
        gate.set()
        assert all(await asyncio.gather(*heavy))
        assert (slots.running, slots.waiting) == (0, 0)

    hold(count, 32, scenario)


def test_heavy_calls_and_others_take_turns_in_one_slot():
    async def scenario(slots, start, gate):
        heavy = [start(HEAVY) for _ in range(3)]
        await until(lambda: slots.running == 1)
        ended = []
        light = asyncio.create_task(slots.run(LIGHT, lambda check: ended.append("light")))
        await until(lambda: slots.waiting == 3)
        for call in heavy[1:]:
            call.add_done_callback(lambda _: ended.append("heavy"))
        gate.set()
        await asyncio.gather(light, *heavy)
        assert ended[0] == "light"

    hold(1, 32, scenario)


def test_heavy_calls_fill_half_of_the_queue():
    async def scenario(slots, start, gate):
        calls = [start(HEAVY) for _ in range(3)]  # one runs, two wait
        await until(lambda: slots.waiting == 2)
        with pytest.raises(HTTPException, match="429"):
            await slots.run(HEAVY, lambda check: None)
        assert await slots.run(LIGHT, lambda check: "done") == "done"
        gate.set()
        await asyncio.gather(*calls)

    hold(2, 4, scenario)


def test_a_cancelled_call_frees_its_image_while_it_waits():
    async def scenario(slots, start, gate):
        running = start(HEAVY)
        await until(lambda: slots.running == 1)
        image = Image()
        left = weakref.ref(image)
        waiting = asyncio.create_task(slots.run(HEAVY, lambda check, image: None, image))
        del image
        await until(lambda: slots.waiting == 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        del waiting
        await until(lambda: gc.collect() >= 0 and left() is None)
        assert (slots.running, slots.waiting) == (1, 0)
        gate.set()
        await running

    hold(2, 4, scenario)
