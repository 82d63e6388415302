"""The feed: what subscribers, analysts and monitors read. It writes nothing."""
