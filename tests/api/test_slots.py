"""The memory of a failed inference. The queue and its refusals are in test_overload.py."""

import asyncio
import gc
import weakref

import pytest

from api.slots import InferenceSlots


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
        async with asyncio.timeout(60):
            while slots.running or any(image() for image in left):
                await asyncio.sleep(0.005)

    asyncio.run(infer_together())
    assert len(left) == crowd
