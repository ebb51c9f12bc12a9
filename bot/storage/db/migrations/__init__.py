"""The schema's history, one file a change; ``schema.py`` beside it runs them."""
