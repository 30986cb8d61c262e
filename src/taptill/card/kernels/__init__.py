"""One module per EMVCo kernel: c7 (UnionPay). A kernel is a generator: it yields commands and receives responses."""
