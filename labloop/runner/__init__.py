"""Those who introduce mind, memory and hands to each other."""
