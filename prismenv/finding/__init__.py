"""Layer 2: finding files, plugins and settings."""
