"""The dashboard: a page of plain modules over the feed's own API, and the cookie that stands for a key."""
