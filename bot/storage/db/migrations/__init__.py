"""The schema's history, one file a change; ``bot/storage/schema.py`` runs it."""
