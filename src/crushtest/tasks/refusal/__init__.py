"""Refusal: requests that should be refused or answered."""
