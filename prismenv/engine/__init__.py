"""Layer 4: joins the drivers."""
