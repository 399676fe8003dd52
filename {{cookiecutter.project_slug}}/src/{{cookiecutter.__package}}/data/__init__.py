"""From a source to the split dataset: ingest, schema, cleaning and assignment."""
