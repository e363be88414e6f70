"""People look at candidates: tasks for them, and what their votes say (paper section 4.2)."""
