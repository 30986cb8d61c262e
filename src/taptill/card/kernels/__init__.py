"""The EMVCo kernels: c2 (Mastercard), c3 (Visa), c7 (UnionPay), and what the two fast ones share. A kernel is a
generator: it yields commands and receives responses."""
