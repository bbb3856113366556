"""Archives and folders of captures, read as streams with limits."""
