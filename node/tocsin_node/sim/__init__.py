"""The flight simulator: what a policy would have done in incidents of the past, and in false alarms."""
