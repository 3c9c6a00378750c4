"""What is kept of a run: the store, merging of stores, and where numbers come from."""
