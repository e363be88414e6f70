"""What people look at: overlays and heat maps."""
