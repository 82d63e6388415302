"""The Tocsin node: the shell on trio around `tocsin_protocol`."""
