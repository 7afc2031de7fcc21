"""Tree search in phases: PrismBench's three, and those of others, over one tree."""
