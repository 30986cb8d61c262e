"""What is owed. Reading order: money."""
