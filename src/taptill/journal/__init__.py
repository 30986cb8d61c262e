"""What must survive power loss. Reading order: entries, debts, port, chain, risk_budget, explain, adapters/."""
