"""Laws held against the engine: claims, their verification, and tables of both."""
