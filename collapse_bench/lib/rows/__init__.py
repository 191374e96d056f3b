"""Operations on rows: selection, mixing, resampling; and models that are changed after the fit."""
