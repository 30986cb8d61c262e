"""The local HTTP API a cash register drives."""
