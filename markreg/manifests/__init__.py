"""What repositories deploy: YAML and JSON documents with positions, what is embedded in them, and the processes they start."""
