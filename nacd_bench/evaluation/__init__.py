"""AUC, tests, thresholds and localisation on arrays; images and models play no part here."""
