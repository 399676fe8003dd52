"""What every stage stands on: paths, settings, reports, registries. Edited rarely."""
