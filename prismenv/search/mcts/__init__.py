"""Monte Carlo tree search over the tree of concepts and difficulties."""
