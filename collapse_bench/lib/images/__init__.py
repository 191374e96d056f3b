"""Reading images, and data generators made of them."""
