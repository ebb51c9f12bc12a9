"""What the benchmarks stand beside: a portal, a bot for storms, an Alertmanager, and how memory is read."""
