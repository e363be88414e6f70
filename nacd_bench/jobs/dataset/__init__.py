"""Data sets of verified artifacts (paper section 4.3): built, merged, counted, checked."""
