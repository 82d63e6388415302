"""`tocsin demo`: a local chain, three protocols, and the drain of March 2023."""
