"""Which setting makes a wanted composition."""
