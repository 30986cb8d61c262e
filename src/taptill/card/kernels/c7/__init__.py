"""Kernel C-7: UnionPay QuickPass."""
