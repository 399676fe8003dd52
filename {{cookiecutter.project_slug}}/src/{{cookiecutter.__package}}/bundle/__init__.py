"""The packaged model: its files, its card, and which one is in service. Rarely edited."""
