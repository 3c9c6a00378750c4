"""Tables, figures and comparisons of what is in the store."""
