"""The registry: which bits mean what to whom, how to recognise them, and what may be shared."""
