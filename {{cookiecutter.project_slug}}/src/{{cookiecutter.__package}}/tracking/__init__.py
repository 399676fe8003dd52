"""What is kept of each training run: its record and its log. Rarely edited."""
