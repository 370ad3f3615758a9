"""EsBBQ and CaBBQ: BBQ for Spain, in Spanish and in Catalan."""
