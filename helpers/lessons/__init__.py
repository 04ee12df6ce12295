"""One file a notebook, named like it: its figures, its explorers and the checks of its exercises."""
