"""What monitoring found, as people say it."""

from __future__ import annotations

from ..evaluation.drift import Finding

NAME = "drift"


def in_words(finding: Finding) -> str:
    """Say what was found, without a full stop."""
    subject = {
        "feature": f"'{finding.name}' drifted",
        "missing": f"missing values of '{finding.name}' changed",
        "prediction": f"the predicted {finding.name} drifted",
        "target": f"the labels '{finding.name}' shifted",
        "performance": "the model got worse",
    }[finding.about]
    size = f" ({finding.measure} {finding.size:.2g})" if finding.measure == "PSI" else ""
    return f"{subject}{size}: {finding.story}"
