"""How good a model is: metrics, intervals, decisions, diagnostics. Edited rarely."""
