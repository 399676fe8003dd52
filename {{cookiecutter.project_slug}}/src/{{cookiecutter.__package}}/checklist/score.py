"""The ML Test Score (Breck et al., 2017): 28 tests in four sections, judged by the items.

Eric Breck, Shanqing Cai, Eric Nielsen, Michael Salib, D. Sculley: "The ML Test Score: A Rubric for
ML Production Readiness and Technical Debt Reduction", IEEE Big Data, 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

from .verify import DONE, Assessment

PAPER = (
    "https://research.google/pubs/"
    "the-ml-test-score-a-rubric-for-ml-production-readiness-and-technical-debt-reduction/"
)

SECTIONS = {
    "data": "Features and data",
    "model": "Model development",
    "infra": "Infrastructure",
    "monitor": "Monitoring",
}
TESTS_PER_SECTION = 7

# How the paper reads a score, by its upper bound.
READINGS = (
    (0, "more a research project than a system to rely on"),
    (1, "not untested, but serious holes are likely"),
    (2, "a first pass at basic productionisation"),
    (3, "reasonably tested; more can be automated"),
    (5, "strong automated testing and monitoring"),
    (7, "exceptional automated testing and monitoring"),
)


@dataclass(frozen=True)
class Score:
    """The ML Test Score of a project.

    Attributes:
        tests: Points of each test, such as `data-1`: 0, 0.5 (by hand) or 1 (automated).
        sections: Points of each section, 0 to 7.
        total: The lowest section's points: a system is as ready as its weakest part.
        reading: What the paper says of such a total.
    """

    tests: dict[str, float]
    sections: dict[str, float]
    total: float
    reading: str


def ml_test_score(assessment: Assessment) -> Score:
    """Return the score of an assessment that covers every stage."""
    tests = {
        f"{section}-{number}": 0.0
        for section in SECTIONS
        for number in range(1, TESTS_PER_SECTION + 1)
    }
    for result in assessment.results.values():
        if result.item.ml_test_score is not None and result.state == DONE:
            tests[result.item.ml_test_score] = 1.0 if result.item.kind == "auto" else 0.5
    sections = {
        section: sum(points for test, points in tests.items() if test.startswith(f"{section}-"))
        for section in SECTIONS
    }
    total = min(sections.values())
    reading = next(text for bound, text in READINGS if total <= bound)
    return Score(tests, sections, total, reading)
