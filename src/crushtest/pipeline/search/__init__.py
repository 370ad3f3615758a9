"""The search for the smallest recipe whose harms stay within a budget."""
