"""How findings become a page: HTML, plots, the profile of the data. Rarely edited."""
