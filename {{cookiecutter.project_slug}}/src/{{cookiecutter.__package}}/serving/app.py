"""The application that uvicorn starts: Starlette for all routes but those that take a body."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ..bundle.bundle import given_classes
from ..bundle.carried import has_rule
from ..core.config import load_settings
from ..core.project import Project
from .front import Front
from .metrics import Metrics
from .openapi import make_openapi
from .page import PAGE_FILES, card_html, docs_page, start_page
from .scoring import given_positive
from .service import Service

# How a worker's process learns what to serve.
HANDED_OVER = "SERVING_PROJECT"
SWITCH_SECONDS = 0.0005


def create() -> Front:
    """Return the application for the project that the environment names."""
    # The threads of the logs give way to a request after this time, not after Python's 5 ms.
    sys.setswitchinterval(SWITCH_SECONDS)
    handed = json.loads(os.environ[HANDED_OVER])
    project = Project(Path(handed["root"]))
    return make_app(Service(project, load_settings(project, handed["overrides"])))


def make_app(service: Service) -> Front:
    """Return the application around a service."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = Starlette(
        routes=[*_operation(service), *(_pages(service) if service.settings.docs else [])],
        lifespan=lifespan,
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    return Front(service, app)


def _operation(service: Service) -> list[Route]:
    """Return what operators ask."""

    async def healthz(_: Request) -> Response:
        """The process answers."""
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def readyz(_: Request) -> Response:
        """A model is loaded."""
        if service.ready:
            return Response(b'{"status":"ready"}', media_type="application/json")
        return JSONResponse({"status": "no model is loaded"}, 503, {"Retry-After": "1"})

    # Not async, so that it runs in a thread.
    def metrics(_: Request) -> Response:
        """Metrics for Prometheus."""
        return metrics_response(service.metrics)

    async def model(request: Request) -> Response:
        """The models in service, and the champion's card."""
        if not service.ready:
            return JSONResponse({"detail": "No model is loaded yet."}, 503, {"Retry-After": "1"})
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(card_html(service.fleet.champion.card))
        return JSONResponse(describe_models(service))

    return [Route(f"/{each.__name__}", each) for each in (healthz, readyz, metrics, model)]


def _pages(service: Service) -> list[Route]:
    """Return the pages for people, and the description for programs."""

    async def openapi(_: Request) -> Response:
        return JSONResponse(make_openapi(service))

    async def docs(_: Request) -> Response:
        return HTMLResponse(docs_page(make_openapi(service)))

    async def start(_: Request) -> Response:
        return HTMLResponse(start_page(service))

    async def page_file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in PAGE_FILES:
            raise HTTPException(404, "There is no such file.")
        content = (Path(__file__).parent / name).read_bytes()
        return Response(content, media_type=PAGE_FILES[name])

    return [
        Route("/openapi.json", openapi),
        Route("/docs", docs),
        Route("/", start),
        Route("/page/{name}", page_file),
    ]


async def _refused(request: Request, error: Any) -> JSONResponse:
    """Answer an `HTTPException`, such as of a path that is not there."""
    content = {"request_id": request.state.request_id, "detail": str(error.detail)}
    return JSONResponse(content, error.status_code, error.headers)


def metrics_response(metrics: Metrics) -> Response:
    """Return the answer to `/metrics`."""
    return Response(metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


def describe_models(service: Service) -> dict[str, Any]:
    """Return what `/model` says."""
    champion, shares = service.fleet.champion, service.fleet.shares
    names = ("task", "target", "classes", "positive", "threshold", "interval", "metric", "metrics")
    facts = {name: champion.document.get(name) for name in names}
    facts |= {
        "classes": given_classes(champion.document),
        "positive": given_positive(champion.document),
    }
    models = [
        {
            "run_id": model.run_id,
            "role": role,
            "onnx": model.onnx,
            "share": round(shares.get(model.run_id, 0), 4),
            **_labels_of(service, model.run_id),
        }
        for role, model in service.fleet.models
    ]
    if has_rule(champion.document):
        facts["decided_by"] = "decide"
    return {"model": champion.run_id, **facts, "models": models, "card": champion.card}


def _labels_of(service: Service, run_id: str) -> dict[str, Any]:
    """Return what a router knows of a model: how many labels, and the mean reward by them."""
    router = service.keeper.router
    if router is None or run_id not in router.rewards:
        return {}
    rewards = router.rewards[run_id]
    mean = round(sum(rewards) / len(rewards), 6) if rewards else None
    return {"labels": len(rewards), "reward": mean}
