"""The executable checklist: items, what proves them, verdicts. Rarely edited."""

from ..core import aliases, registry

registry.PARTS.add("checklist")
registry.COMMANDS.add(checklist=".checklist.commands:checklist_app")
registry.LAST_LINES.add(Checklist=".checklist.measured:last_line")
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
# Where earlier versions kept things, as in core/aliases.py.
aliases.add(
    {
        "checklist.catalogue:Source": "checklist.catalogue:YamlFile",
        "checklist.catalogue:Where": "checklist.catalogue:KeyPath",
        "checklist.catalogue:template_source": "checklist.catalogue:template_file",
        "checklist.documents": "checklist.measured",
        "checklist.documents:Line": "checklist.documents:MarkdownLine",
        "checklist.documents:Rows": "checklist.documents:NumberedLines",
        "checklist.documents:Section": "checklist.documents:Heading",
        "checklist.measured": "checklist.context checklist.catalogue",
        "checklist.measured:Material": "checklist.context:Context",
        "checklist.page": "checklist.formats",
        "checklist.rules": "checklist.conditions",
        "checklist.rules:Rule": "checklist.conditions:Condition",
        "checklist.rules:parse_rule": "checklist.conditions:parse_condition",
        "checklist.score": "checklist.verify",
        "checklist.summary": "checklist.verify",
        "checklist.summary:filled": "checklist.verify:by_area",
        "checklist.summary:later": "checklist.verify:next_stage",
        "checklist.verify:Result": "checklist.verify:ItemResult",
        "checklist.verify:until": "checklist.verify:stages_up_to",
    }
)
