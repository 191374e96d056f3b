"""Readers of image files, and data generators built on images."""
