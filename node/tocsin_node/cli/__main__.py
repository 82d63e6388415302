"""`python -m tocsin_node.cli`."""

from . import main

main()
