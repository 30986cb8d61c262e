"""The deterministic world: real terminal and real host in one process, on a time and a luck that one seed decides."""
