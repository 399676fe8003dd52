"""The section `[serving]` of conf.cfg."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ..core.config import Section


class ServingSettings(Section):
    """How the REST service answers, and what it refuses."""

    host: str = Field(
        default="127.0.0.1",
        description="address to listen on; 0.0.0.0: every address of the machine",
    )
    port: int = Field(default=8000, ge=1, le=65535, description="port to listen at")
    workers: int = Field(default=1, ge=1, le=64, description="processes, each with its own models")
    keys: str | None = Field(
        default=None,
        description="API keys: env:NAME (with commas between) or file:PATH (a line each)",
    )
    docs: bool = Field(default=True, description="show the pages /, /docs and /openapi.json")
    body_kilobytes: int = Field(default=10_000, ge=1, description="largest body of a request")
    rows: int = Field(default=10_000, ge=1, description="most rows in a request")
    seconds: float = Field(
        default=10, gt=0, description="time limit of a request, its body included"
    )
    concurrency: int = Field(
        default=64, ge=1, description="requests handled at a time; a further one is answered 503"
    )
    bounds: bool = Field(
        default=True, description="refuse numbers outside the schema's minimum and maximum"
    )
    poll_seconds: float = Field(
        default=1, gt=0, description="how often models/champion.json is checked"
    )
    router: Literal["weights", "thompson"] = Field(
        default="weights",
        description="which model answers without a sticky key: by weights, or by labels "
        "(Thompson sampling)",
    )
    explore: float = Field(
        default=0.05, ge=0, le=0.5, description="least share of a model under router = thompson"
    )
    log_share: float = Field(
        default=1, ge=0, le=1, description="share of the requests in the prediction log"
    )
    log_seconds: float = Field(
        default=60, gt=0, description="a file of the prediction log is finished after this time"
    )
    log_megabytes: int = Field(
        default=1_000,
        ge=1,
        description="of the prediction log; beyond that, the oldest files are deleted",
    )

    @field_validator("keys")
    @classmethod
    def _keys_are_elsewhere(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("env:", "file:")):
            raise ValueError("keys has to be env:NAME or file:PATH: a key is not written here")
        return value

    @model_validator(mode="after")
    def _labels_find_their_answers(self) -> "ServingSettings":
        if self.router == "thompson" and not self.log_share:
            raise ValueError("router = thompson needs the prediction log: log_share is 0")
        return self
