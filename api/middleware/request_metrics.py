"""The count and the duration of every request, for Prometheus."""

from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics


class RequestMetrics:
    """ASGI middleware that counts and times every request by its route.

    The frames of a stream are counted by routes/stream.py.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500  # unless a response starts
        outer_path = scope.get("root_path", "")

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        start = perf_counter()
        self.metrics.in_flight += 1
        try:
            await self.app(scope, receive, send_and_note_status)
        finally:
            self.metrics.in_flight -= 1
            # A mounted folder counts as one route, and so do all unknown paths.
            mount = scope.get("root_path", "").removeprefix(outer_path)
            route = getattr(scope.get("route"), "path", mount or "none")
            self.metrics.requests.labels(route, status).inc()
            self.metrics.latency.labels(route).observe(perf_counter() - start)
            self.metrics.count_rejection(status)
