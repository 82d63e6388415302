"""The relay: holds the keys, is the only writer, decides and acts. It trusts its mesh process for nothing."""
