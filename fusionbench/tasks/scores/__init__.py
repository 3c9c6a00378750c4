"""What predictions are worth, each convention by name."""
