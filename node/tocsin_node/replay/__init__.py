"""Taking logged decisions again: everything out of the log, nothing from the node as it is now."""
