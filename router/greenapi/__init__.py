"""What the router knows of GREEN-API itself."""
