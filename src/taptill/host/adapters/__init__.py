"""Links to the host: tls."""
