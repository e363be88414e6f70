"""``nacd-bench mine``: from many images to candidates (paper section 4.1)."""
