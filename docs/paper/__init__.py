"""Makes docs/paper.md: the claims of Xu et al. 2024, computed again from their tables and from our own run."""
