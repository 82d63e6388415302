"""The figures Tocsin promises, measured."""
