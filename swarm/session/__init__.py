"""The host of the engine in the real world, and the library's public face."""
