"""How close a model brings degraded faces to the clean ones."""
