"""Tables of real rows: where they are, marginals by quantiles, and what they are good for."""
