"""Key stores: file."""
