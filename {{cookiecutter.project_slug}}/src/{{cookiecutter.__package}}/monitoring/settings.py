"""`[monitor]` of conf.cfg: what counts as a finding, when it is an alert, and who hears of it."""

from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator

from ..core.config import Names, Section

if TYPE_CHECKING:
    from ..core.config import Settings


class MonitorSettings(Section):
    """What counts as a finding, and what follows from one."""

    false_alarms: float = Field(
        default=0.01, gt=0, le=0.5, description="chance of any false finding of drift, per check"
    )
    psi: float = Field(
        default=0.1, ge=0, description="ignore smaller shifts (population stability index)"
    )
    missing: float = Field(
        default=0.05, ge=0, le=1, description="ignore smaller changes of a missing share"
    )
    worse: float = Field(default=0.05, ge=0, le=1, description="ignore smaller losses of skill")
    invalid: float = Field(
        default=0.01, ge=0, le=1, description="share of rows that may break one rule of the schema"
    )
    label_days: float = Field(
        default=0, ge=0, description="days after which a prediction has to have its label; 0: never"
    )
    labelled: float = Field(
        default=0.5, gt=0, le=1, description="share of the predictions due that needs a label"
    )
    ignore: Names = Field(default=(), description="features whose drift is ignored")
    days: float = Field(default=7, gt=0, description="of the prediction log, up to now")
    rows: int = Field(default=50_000, ge=100, description="at most, evenly spread, for the tests")
    checks: int = Field(
        default=1, ge=1, description="checks in a row with a finding that make it an alert"
    )
    whom: str = Field(default="", description="who is responsible, as the alert says it")
    what: str = Field(default="", description="what to do first, as the alert says it")
    webhook: str | None = Field(
        default=None, description="env:NAME of the variable with the URL that alerts are sent to"
    )
    better: float = Field(
        default=0.0, ge=0, description="skill that a challenger has to be ahead by, for sure"
    )

    @model_validator(mode="after")
    def _labels_can_be_late(self) -> "MonitorSettings":
        if self.label_days >= self.days:
            raise ValueError(
                f"label_days is {self.label_days:g}, but has to be below days, {self.days:g}: "
                "only the predictions of so many days are looked at"
            )
        return self

    @field_validator("webhook")
    @classmethod
    def _is_secret(cls, value: str | None) -> str | None:
        if value is not None and not (value.startswith("env:") and value[4:]):
            raise ValueError("the URL is a secret, so name its environment variable: env:NAME")
        return value


def monitor_settings(settings: "Settings") -> MonitorSettings:
    """Return `[monitor]`, which only this module knows."""
    extra: dict[str, Any] = settings.model_extra or {}
    found = extra.get("monitor")
    return found if isinstance(found, MonitorSettings) else MonitorSettings()
