"""Laws compared with the engine: claims, their verification, and tables of results."""
