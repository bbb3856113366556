"""Where bits could be: free ones for a new reservation, settings at which components can share a node, a first registry of a cluster."""
