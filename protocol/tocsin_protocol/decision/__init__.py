"""What to do about an incident: tiers, levers, budgets, and the cheapest lever that helps (specs/decision.md)."""
