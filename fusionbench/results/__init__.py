"""What a run leaves behind: the store, merging of stores, and where numbers come from."""
