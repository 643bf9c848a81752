"""The model that is served, the copies of those before it, and the way back to one of them."""
