"""Models that are not ours, as Runners."""
