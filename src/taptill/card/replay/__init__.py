"""Replaying a recorded tap: through its kernel where that is built in, through records and offline proofs otherwise."""
