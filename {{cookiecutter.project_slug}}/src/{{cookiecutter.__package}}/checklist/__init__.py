"""The executable checklist: items, what proves them, verdicts. Rarely edited."""

from ..core import registry

registry.EVIDENCE.update(
    answer=".checklist.evidence:answer",
    champion=".checklist.evidence:champion",
    config=".checklist.evidence:config",
    fact=".checklist.evidence:fact",
    file=".checklist.evidence:file",
    fresh=".checklist.evidence:fresh",
    git=".checklist.evidence:git",
    section=".checklist.evidence:section",
    signoff=".checklist.evidence:signoff",
)
