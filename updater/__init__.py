"""Keeps a project in step with this template: status, update, set, diff and adopt."""
