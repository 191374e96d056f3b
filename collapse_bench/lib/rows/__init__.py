"""Methods on rows: selection, mixing, resampling, and models changed after the fit."""
