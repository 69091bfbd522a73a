"""The limit of the bytes of all bodies together: which upload ends, and which is refused."""

import asyncio

import pytest
from fastapi import HTTPException

from api.uploads import SLOW_SECONDS, Uploads


def started(uploads, count, seconds_ago=0.0):
    """An upload that waits for its next bytes."""
    upload = uploads.begin()
    upload.start -= seconds_ago
    uploads.add(upload, count)
    return upload


def talk(scenario):
    async def run():
        await scenario(Uploads(100))

    asyncio.run(run())


def test_the_newest_upload_is_refused_while_the_others_are_fast():
    async def scenario(uploads):
        started(uploads, 60)
        newest = uploads.begin()
        with pytest.raises(HTTPException, match="429") as refusal:
            uploads.add(newest, 60)
        assert refusal.value.headers["Retry-After"] == "1"
        assert uploads.bytes == 60

    talk(scenario)


def test_the_oldest_slow_upload_gives_its_place():
    async def scenario(uploads):
        oldest = started(uploads, 40, seconds_ago=SLOW_SECONDS + 2)
        older = started(uploads, 40, seconds_ago=SLOW_SECONDS + 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as oldest.patience:
                uploads.add(uploads.begin(), 60)
                await asyncio.sleep(60)
        assert (oldest.bytes, older.bytes, uploads.bytes) == (0, 40, 100)

    talk(scenario)


def test_complete_uploads_are_not_ended():
    async def scenario(uploads):
        complete = started(uploads, 60, seconds_ago=60)
        uploads.complete(complete)
        with pytest.raises(HTTPException, match="429"):
            uploads.add(uploads.begin(), 60)
        uploads.end(complete)
        uploads.add(uploads.begin(), 60)
        assert uploads.bytes == 60

    talk(scenario)
