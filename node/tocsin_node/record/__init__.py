"""The log as files, wherever they come from: checked, proven from, exported."""
