"""The application that uvicorn starts: FastAPI for all routes but those that take a body."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from ..core.config import load_settings
from ..core.project import Project
from .front import Front
from .metrics import Metrics
from .openapi import make_openapi
from .page import PAGE_FILES, card_html, docs_page, start_page
from .service import Service

# How a worker's process learns what to serve.
HANDED_OVER = "SERVING_PROJECT"
SWITCH_SECONDS = 0.0005
# Some balancers ask by HEAD whether there is an answer.
PROBED = ["GET", "HEAD"]


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
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    _add_operation(app, service)
    if service.settings.docs:
        _add_pages(app, service)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        content = {"request_id": request.state.request_id, "detail": str(error.detail)}
        return JSONResponse(content, error.status_code, dict(error.headers or {}))

    return Front(service, app)


def _add_operation(app: FastAPI, service: Service) -> None:
    """Add what operators ask."""

    @app.api_route("/healthz", methods=PROBED)
    async def healthz() -> Response:
        """The process answers."""
        return Response(b'{"status":"ok"}', media_type="application/json")

    @app.api_route("/readyz", methods=PROBED)
    async def readyz() -> Response:
        """A model is loaded."""
        if service.ready:
            return Response(b'{"status":"ready"}', media_type="application/json")
        return JSONResponse({"status": "no model is loaded"}, 503, {"Retry-After": "1"})

    @app.get("/metrics")
    def metrics() -> Response:
        """Metrics for Prometheus."""
        return metrics_response(service.metrics)

    @app.get("/model")
    async def model(request: Request) -> Response:
        """The models in service, and the champion's card."""
        if not service.ready:
            return JSONResponse({"detail": "No model is loaded yet."}, 503, {"Retry-After": "1"})
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(card_html(service.fleet.champion.card))
        return JSONResponse(describe_models(service))


def _add_pages(app: FastAPI, service: Service) -> None:
    """Add the pages for people, and the description for programs."""

    @app.get("/openapi.json")
    async def openapi() -> Response:
        return JSONResponse(make_openapi(service))

    @app.get("/docs")
    async def docs() -> Response:
        return HTMLResponse(docs_page(make_openapi(service)))

    @app.api_route("/", methods=PROBED)
    async def start() -> Response:
        return HTMLResponse(start_page(service))

    @app.get("/page/{name}")
    async def page_file(name: str) -> Response:
        if name not in PAGE_FILES:
            raise HTTPException(404, "There is no such file.")
        content = (Path(__file__).parent / name).read_bytes()
        return Response(content, media_type=PAGE_FILES[name])


def metrics_response(metrics: Metrics) -> Response:
    """Return the answer to `/metrics`."""
    return Response(metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


def describe_models(service: Service) -> dict[str, Any]:
    """Return what `/model` says."""
    champion, shares = service.fleet.champion, service.fleet.shares
    names = ("task", "target", "classes", "positive", "threshold", "interval", "metric", "metrics")
    facts = {name: champion.document.get(name) for name in names}
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
    return {"model": champion.run_id, **facts, "models": models, "card": champion.card}


def _labels_of(service: Service, run_id: str) -> dict[str, Any]:
    """Return what a router knows of a model: how many labels, and the mean reward by them."""
    router = service.keeper.router
    if router is None or run_id not in router.rewards:
        return {}
    rewards = router.rewards[run_id]
    mean = round(sum(rewards) / len(rewards), 6) if rewards else None
    return {"labels": len(rewards), "reward": mean}
