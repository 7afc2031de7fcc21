"""Layer 4: shipped fakes and the conformance kit."""
