"""More requests than slots: which wait, which are refused, which are cancelled."""

import asyncio
import threading

import httpx

from api.app import create_app
from api.settings import Settings


def talk(model_path, scenario, **limits):
    """Run a scenario with an application in this process whose inferences wait for an event.

    `scenario` is called with the application, a client and the event.
    """
    app = create_app(Settings(model_path=model_path, max_concurrency=1, **limits))
    gate = threading.Event()
    model = app.state.server.models.default
    recognize = model.recognize

    def wait_and_recognize(*arguments):
        assert gate.wait(60)
        return recognize(*arguments)

    model.recognize = wait_and_recognize

    async def connect():
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://localhost", timeout=60
            ) as client,
        ):
            await until(lambda: model.problem is None)
            try:
                await scenario(app, client, gate)
            finally:
                gate.set()

    asyncio.run(connect())


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def test_requests_beyond_the_queue_are_refused_and_the_others_are_predicted(model_path, photo):
    async def scenario(app, client, gate):
        crowd = [asyncio.create_task(client.post("/predict", content=photo)) for _ in range(12)]
        await until(lambda: app.state.server.slots.waiting == 3)
        await until(lambda: sum(request.done() for request in crowd) == 8)
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        batch = await client.post("/predict/batch", files={"files": ("a.jpg", photo)})
        assert batch.status_code == 429
        gate.set()
        answers = await asyncio.gather(*crowd)
        serial = (await client.post("/predict", content=photo)).json()
        assert len(serial["faces"]) == 1
        for answer in answers:
            if answer.status_code == 429:
                assert answer.headers["retry-after"] == "31"
                assert answer.json()["detail"].startswith("the server is busy")
            else:
                assert answer.json() == serial
        assert sum(answer.status_code == 200 for answer in answers) == 4

    talk(model_path, scenario, max_queue=3, queue_seconds=30.5)


def test_a_request_that_waits_too_long_is_refused(model_path, photo):
    async def scenario(app, client, gate):
        first = asyncio.create_task(client.post("/predict", content=photo))
        await until(lambda: app.state.server.slots.running == 1)
        second = await client.post("/predict", content=photo)
        assert not first.done()
        gate.set()
        assert (await first).status_code == 200
        assert second.status_code == 429 and second.headers["retry-after"] == "1"
        assert app.state.server.slots.waiting == 0
        assert (await client.post("/predict", content=photo)).status_code == 200

    talk(model_path, scenario, queue_seconds=0.05)


def test_without_a_queue(model_path, photo):
    async def scenario(app, client, gate):
        both = [asyncio.create_task(client.post("/predict", content=photo)) for _ in range(2)]
        await until(lambda: any(request.done() for request in both))
        gate.set()
        answers = await asyncio.gather(*both)
        assert sorted(answer.status_code for answer in answers) == [200, 429]

    talk(model_path, scenario, max_queue=0)


def test_a_running_request_past_its_deadline_keeps_its_slot(model_path, photo):
    async def scenario(app, client, gate):
        late = await client.post("/predict?faces=whole", content=photo)
        assert late.status_code == 504
        assert late.json() == {"detail": "the request was not answered within 0.5 seconds"}
        busy = await client.post("/predict?faces=whole", content=photo)
        assert busy.status_code == 429
        gate.set()
        await until(lambda: app.state.server.slots.running == 0)
        async with asyncio.timeout(60):  # a busy machine may miss the short deadline
            while (await client.post("/predict?faces=whole", content=photo)).status_code != 200:
                await until(lambda: app.state.server.slots.running == 0)

    talk(model_path, scenario, max_queue=0, deadline_seconds=0.5)


def test_a_waiting_request_past_its_deadline_never_runs(model_path, photo):
    async def scenario(app, client, gate):
        model, runs = app.state.server.models.default, []
        recognize = model.recognize
        model.recognize = lambda *arguments: runs.append(1) or recognize(*arguments)
        pair = await asyncio.gather(*(client.post("/predict", content=photo) for _ in range(2)))
        assert [answer.status_code for answer in pair] == [504, 504]
        assert (app.state.server.slots.running, app.state.server.slots.waiting) == (1, 0)
        gate.set()
        await until(lambda: app.state.server.slots.running == 0)
        assert len(runs) == 1

    talk(model_path, scenario, deadline_seconds=0.5, queue_seconds=60)


def test_a_batch_past_its_deadline_ends_before_its_next_image(model_path, photo):
    async def scenario(app, client, gate):
        model, ended = app.state.server.models.default, []
        recognize = model.recognize
        model.recognize = lambda *arguments: ended.append(recognize(*arguments)) or ended[-1]
        files = [("files", ("a.jpg", photo))] * 3
        late = await client.post("/predict/batch", files=files)
        assert late.status_code == 504
        gate.set()
        await until(lambda: app.state.server.slots.running == 0)
        assert ended == []

    talk(model_path, scenario, deadline_seconds=0.5)


def test_an_incomplete_body_is_408(model_path):
    async def scenario(app, client, gate):
        async def body():
            yield b"half"
            await asyncio.Event().wait()

        answer = await client.post("/predict", content=body())
        assert answer.status_code == 408
        assert answer.json() == {"detail": "the request had not arrived within 0.5 seconds"}

    talk(model_path, scenario, deadline_seconds=0.5)


def test_metrics_count_waiting_and_refused_requests(model_path, photo):
    async def scenario(app, client, gate):
        pair = [asyncio.create_task(client.post("/predict", content=photo)) for _ in range(2)]
        await until(lambda: app.state.server.slots.waiting == 1)
        assert (await client.post("/predict", content=photo)).status_code == 429
        metrics = (await client.get("/metrics")).text.splitlines()
        gate.set()
        await asyncio.gather(*pair)
        assert "fer_requests_waiting 1.0" in metrics
        assert "fer_requests_in_flight 3.0" in metrics
        assert 'fer_rejected_requests_total{reason="overload"} 1.0' in metrics

    talk(model_path, scenario, max_queue=1)
