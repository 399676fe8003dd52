"""What every stage stands on: paths, settings, reports, registries. Rarely edited."""
