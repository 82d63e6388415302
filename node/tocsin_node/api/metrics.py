"""What the feed counts of itself, in Prometheus' terms."""

from __future__ import annotations

import time
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Until an answer begins; the bounds of a question are among them.
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
# What was asked for that there is not, so that nobody makes names for us.
NO_ROUTE = "none"


class FeedMetrics:
    """One feed's counters and gauges; what is read off its databases is set when somebody asks (`gauges`)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="tocsin_feed", registry=self.registry)
        self._requests = self._counter("requests", "Requests, by route and status.", "route", "status")
        self._failures = self._counter("failures", "Requests that met what nobody foresaw.")
        self._seconds = Histogram(
            "tocsin_feed_request_seconds",
            "Until an answer began, by route.",
            ["route"],
            buckets=REQUEST_SECONDS,
            registry=self.registry,
        )
        self.listeners = self.gauge("listeners", "Who listens now, by scope; webhooks are not counted.", "scope")
        self.sent = self._counter("events_sent", "Events sent to all who listened.")
        self.cuts = self._counter("listeners_cut", "Listeners who were sent nothing more, by why.", "why")
        self.tries = self._counter("webhook_tries", "Events posted to webhooks, by outcome.", "outcome")
        self.webhooks = self.gauge("webhooks", "Webhooks, by state.", "state")
        self.webhook_behind = self.gauge("webhook_behind_entries", "How far the last active webhook is behind.")
        self.dead_letters = self.gauge("dead_letters", "Events that receivers refused.")
        self.index_behind = self.gauge("index_behind_signals", "How far the index is behind the record.")
        self.export_behind = self.gauge("export_behind_entries", "How far the TAXII collections are behind it.")
        self.objects = self.gauge("taxii_objects", "Versions of objects, by collection.", "collection")
        self.suggestions = self.gauge("suggestions_open", "Findings of others that wait for the operator.")

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """A gauge of the feed."""
        return Gauge(f"tocsin_feed_{name}", text, labels, registry=self.registry)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """One request, once its answer has begun."""
        self._requests.labels(route, str(int(status))).inc()
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self._failures.inc()
        self._seconds.labels(route).observe(seconds)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"tocsin_feed_{name}", text, labels, registry=self.registry)


class CountedRequests:
    """Counts requests by the route that they came to, never by the path that somebody wrote."""

    def __init__(self, app: ASGIApp, metrics: FeedMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, has_begun = time.perf_counter(), False

        async def counted(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                self._metrics.count_request(_route(scope), message["status"], time.perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, counted)
        except Exception:
            # what nobody foresaw is answered further out
            if not has_begun:
                status = HTTPStatus.INTERNAL_SERVER_ERROR
                self._metrics.count_request(_route(scope), status, time.perf_counter() - began)
            raise


def _route(scope: Scope) -> str:
    path = getattr(scope.get("route"), "path", None)
    # a route knows its own part: what is mounted is told here, the prefix of a version is not
    return NO_ROUTE if path is None else str(scope.get("root_path", "")) + path
