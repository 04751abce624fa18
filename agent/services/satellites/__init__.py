"""The connection between a payment master and its satellites (decision 73)."""
