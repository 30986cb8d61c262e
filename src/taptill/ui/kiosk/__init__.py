"""The page a cashier uses."""
