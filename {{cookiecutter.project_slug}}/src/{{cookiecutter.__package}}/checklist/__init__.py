"""The executable checklist: items say what proves them, and a command looks for the proof."""

from ..core import registry

registry.EVIDENCE.add(
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
