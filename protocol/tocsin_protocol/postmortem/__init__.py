"""Post-mortems: an incident as entries under one root, of which some may be withheld (specs/report.md)."""
