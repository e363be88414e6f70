"""Images, triplets and the tables that list them."""
