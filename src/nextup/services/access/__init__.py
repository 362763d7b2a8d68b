"""Who may call, what they may do, and how much: clients, keys, tokens, limits, tenants."""
