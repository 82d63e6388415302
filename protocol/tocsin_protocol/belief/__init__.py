"""How likely an incident is, from who said so and what his word has been worth (specs/belief.md)."""
