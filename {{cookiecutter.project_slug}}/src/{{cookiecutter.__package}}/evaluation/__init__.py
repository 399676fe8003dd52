"""How good a model is: metrics, intervals, decisions, diagnostics. Rarely edited."""
