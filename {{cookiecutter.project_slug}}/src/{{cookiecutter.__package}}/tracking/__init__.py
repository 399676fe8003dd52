"""What is kept of each training run: its record, its log, how two differ. Edited rarely."""
