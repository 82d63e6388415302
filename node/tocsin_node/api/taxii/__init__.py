"""TAXII 2.1: the record as collections of STIX objects, and a door for what others find (specs/stix.md)."""
