"""The ML Test Score (Breck et al., 2017): 28 tests in four sections, from the items' states.

Eric Breck, Shanqing Cai, Eric Nielsen, Michael Salib, D. Sculley: "The ML Test Score: A Rubric for
ML Production Readiness and Technical Debt Reduction", IEEE Big Data, 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

from .catalogue import ML_TESTS, SECTIONS, Item
from .verify import DONE, Assessment

PAPER = (
    "https://research.google/pubs/"
    "the-ml-test-score-a-rubric-for-ml-production-readiness-and-technical-debt-reduction/"
)

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
        items: The item that answers each test.
    """

    tests: dict[str, float]
    sections: dict[str, float]
    total: float
    reading: str
    items: dict[str, Item]


def ml_test_score(assessment: Assessment) -> Score:
    """Return the score of an assessment that covers every stage.

    Where the team's own items answer a test, too, the item with the most points counts.
    """
    tests, items = dict.fromkeys(ML_TESTS, 0.0), {}
    for result in assessment.results.values():
        test, points = result.item.ml_test_score, 0.0
        if result.state == DONE:
            points = 1.0 if result.item.kind == "auto" else 0.5
        if test is not None and (test not in items or points > tests[test]):
            tests[test], items[test] = points, result.item
    sections = {
        section: sum(points for test, points in tests.items() if test.startswith(f"{section}-"))
        for section in SECTIONS
    }
    total = min(sections.values())
    reading = next(text for bound, text in READINGS if total <= bound)
    return Score(tests, sections, total, reading, items)
