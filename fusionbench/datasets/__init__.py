"""Dataset adapters, one file and one card each."""
