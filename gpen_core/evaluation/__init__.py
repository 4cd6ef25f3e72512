"""How near to the clean faces a model brings degraded ones."""
